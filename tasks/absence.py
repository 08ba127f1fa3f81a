"""What may be away for a while (broker, ledger, state store): a process says so once, and once when it is back."""

from __future__ import annotations

import math
import ssl
import threading
import time
from collections.abc import Callable

import structlog

log = structlog.stdlib.get_logger()


class Absence:
    """One process's view of one thing. Safe under threads, and cheap while nothing is away.

    The log lines are ``<what>.away`` with `reason`, and ``<what>.back`` with `away_s`, in turn: what fails now, and was
    begun before the last return, belongs to the absence that is over.
    """

    def __init__(self, what: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Watch over `what`, one of ``broker``, ``ledger``, ``store``, ``calls`` (that queue)."""
        self._away, self._back = f"{what}.away", f"{what}.back"
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._since: float | None = None
        self._returned: float | None = None

    @property
    def on(self) -> bool:
        """Whether it is away, as far as is known."""
        return self._since is not None

    @property
    def back_for_s(self) -> float:
        """For how long it has been there again; infinite where it has never been away."""
        return math.inf if self._returned is None else self._monotonic() - self._returned

    def watch(self, away: Callable[[Exception], str | None], *, proof: bool = True) -> _Watch:
        """Do something with it. `away` says of an error how it is away; None: the error says nothing of the kind.

        `proof`: whether that this goes well says that the thing is back.
        """
        return _Watch(self, away, proof, self._monotonic())

    def begun(self, reason: str, began: float | None = None) -> None:
        """Say that it is away, unless that is said. `began` (monotonic): when what failed had been begun."""
        with self._lock:
            if self._since is not None:
                return
            if began is not None and self._returned is not None and began < self._returned:
                return
            self._since = self._monotonic()
            log.warning(self._away, reason=reason)

    def over(self, began: float | None = None) -> None:
        """Say that it is back, if it was away. `began` (monotonic): when what went well had been begun."""
        if not self.on:
            return
        with self._lock:
            since = self._since
            # What was begun before it went away, and went well, says nothing of now.
            if since is None or (began is not None and began < since):
                return
            self._since = None
            self._returned = self._monotonic()
            log.info(self._back, away_s=round(self._returned - since, 1))


class _Watch:
    """A `with` of `Absence.watch`: a plain class, since one is begun a dozen times a lead."""

    __slots__ = ("_absence", "_away", "_began", "_proof")

    def __init__(self, absence: Absence, away: Callable[[Exception], str | None], proof: bool, began: float) -> None:
        self._absence, self._away, self._proof, self._began = absence, away, proof, began

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, fault: BaseException | None, _trace: object) -> None:
        if fault is None:
            if self._proof:
                self._absence.over(self._began)
        elif isinstance(fault, Exception) and (reason := self._away(fault)) is not None:
            self._absence.begun(reason, self._began)


def class_name(fault: BaseException) -> str:
    """Name an error by its class, never by its text; where a certificate is behind it, say what is wrong with that."""
    seen: BaseException | None = fault
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return f"{type(fault).__name__}: {seen.verify_message}"
        seen = seen.__cause__ or seen.__context__
    return type(fault).__name__


def named(*kinds: type[BaseException]) -> Callable[[Exception], str | None]:
    """Give what names an error of these kinds (`class_name`), and leaves all others out."""
    return lambda fault: class_name(fault) if isinstance(fault, kinds) else None

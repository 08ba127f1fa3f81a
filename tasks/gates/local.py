"""The pace that one process keeps by itself while the state store is away: slow enough beside any number of others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from tasks.gates.port import Go, Heard, Wait

CALLS_PER_S: Final = 5
PLACES: Final = 4
LONGEST_WAIT_S: Final = 5.0


class LocalPace:
    """At most `CALLS_PER_S` calls a second and `PLACES` in flight; after a 1000 or 1100 none, then one that tries.

    `hold_ms` is how long to wait after each 1000 or 1100 in a row, and after `silent_run` calls without an answer. Safe
    under threads. It listens all the time, so that
    it knows a buyer's maintenance when the store goes away in the midst of it.
    """

    def __init__(
        self,
        hold_ms: Mapping[Heard, Sequence[int]],
        silent_run: int,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hold_ms = hold_ms
        self._silent_run = silent_run
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._flying: dict[str, float] = {}  # ticket -> when its place is free again
        self._next = 0.0  # when the next call may begin
        self._booked = 0.0  # until when calls that wait have been given their times
        self._held = 0  # 1000s, 1100s and silences in a row
        self._silent = 0  # calls without an answer in a row

    def admit(self, ticket: str, budget_s: float) -> Go | Wait:
        """Ask for a call that takes at most `budget_s`."""
        with self._lock:
            now = self._monotonic()
            self._flying = {flying: until for flying, until in self._flying.items() if until > now}
            places = 1 if self._held else PLACES
            if now < self._next or len(self._flying) >= places:
                return Wait(self._book(now), "the state store is away: calls are few")
            self._flying[ticket] = now + budget_s
            self._next = now + 1 / CALLS_PER_S
            return Go(ticket)  # no gate is tried: only the store can let one lead alone pass

    def _book(self, now: float) -> float:
        """Give each that waits a time of its own, in their order: a thousand must not all come at once."""
        self._booked = min(max(self._booked, self._next, now) + 1 / CALLS_PER_S, now + LONGEST_WAIT_S)
        return self._booked - now

    def heard(self, ticket: str, heard: Heard, retry_after_s: float | None) -> None:
        """Learn what a call brought, whoever had admitted it."""
        with self._lock:
            self._flying.pop(ticket, None)
            if heard is Heard.NOTHING:
                self._silent += 1
                if not self._held and self._silent < self._silent_run:
                    return
            if heard is Heard.WELL:
                self._held = self._silent = 0
            elif heard is Heard.GARBLED:
                self._silent = 0
            elif growth := self._hold_ms.get(heard):
                hold_s = growth[min(self._held, len(growth) - 1)] / 1000
                self._held += 1
                self._next = max(self._next, self._monotonic() + max(hold_s, retry_after_s or 0))

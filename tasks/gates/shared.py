"""The gates as a step sees them: shared by all workers in the state store, and safe without it.

What is closed is decided by the ledger, and told to the store, which answers every step. While the store is away,
closed gates stay closed, since the ledger knows them; and each process keeps a slow pace of its own (`local.py`).
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from os import getpid
from typing import Final

import structlog
from redis.exceptions import RedisError

from tasks.absence import Absence, named
from tasks.core.money import dollars
from tasks.core.outcome import rfc3339
from tasks.gates.local import LocalPace
from tasks.gates.port import PACE_SCOPE, Admission, Ask, Gate, Go, Heard
from tasks.gates.register import Register
from tasks.gates.store import HOLD_MS, LONGEST_RETRY_AFTER_S, SILENT_RUN, Store, Turned
from tasks.ledger import GateRow, Reset
from tasks.ledger.rows import from_ms, to_ms

log = structlog.stdlib.get_logger()

# How often a store that is away is tried, by one thread of a process at a time.
TRY_S: Final = 0.5
# A line that was due so long ago and is not known to be written was swallowed by a crash.
SWALLOWED_MS: Final = 30_000
_why_away = named(RedisError)


class SharedGates:
    """See `Gates`. Safe under threads. Only `all` raises `RedisError`; any method may raise `LedgerError`."""

    def __init__(
        self,
        store: Store,
        register: Register,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._register = register
        self._local = LocalPace(HOLD_MS, SILENT_RUN, monotonic=monotonic)
        self._absence = Absence("store", monotonic=monotonic)
        self._monotonic = monotonic
        self._name, self._numbers = uuid.uuid4().hex, count()
        self._trying = threading.Lock()
        self._next_try = 0.0

    def admit(self, ask: Ask) -> Admission:
        """See `Gates.admit`."""
        # Chance for each would be a call to the system. The number of the process, for those that are forked from one.
        ticket = f"{self._name}.{getpid()}.{next(self._numbers)}"
        if self._is_there():
            with suppress(RedisError), self._absence.watch(_why_away):
                return self._store.admit(ask, ticket)
        return self._register.ask(ask.scopes) or self._local.admit(ticket, ask.budget_ms / 1000)

    def leave(self, lead_id: str) -> None:
        """See `Gates.leave`."""
        if self._is_there():
            with suppress(RedisError), self._absence.watch(_why_away):
                self._store.leave(lead_id)

    def heard(self, go: Go, heard: Heard, *, code: int | None, reason: str, retry_after_s: float | None) -> None:
        """See `Gates.heard`."""
        wish = None if retry_after_s is None else min(retry_after_s, LONGEST_RETRY_AFTER_S)
        self._local.heard(go.ticket, heard, wish)
        if self._absence.on:
            return  # the call's place in the store frees itself when its time is over
        if heard is Heard.WELL:  # nobody needs to wait until that is known
            self._store.heard_well(go.ticket, self._tell_the_turn)
            return
        with suppress(RedisError), self._absence.watch(_why_away):
            self._tell_the_turn(self._store.heard(go.ticket, heard, code=code, reason=reason, retry_after_s=wish))

    def flush(self) -> None:
        """Report now what was to be reported in a moment. Never raises."""
        self._store.flush()

    @staticmethod
    def _tell_the_turn(turned: Turned | None) -> None:
        """Write how the buyer's gate turned, where it did."""
        match turned:
            case ("closed", until, why, words):
                log.warning("gate.closed", scope=PACE_SCOPE, code=why, reason=words, until=_iso(until))
            case ("opened", since, _, _):
                log.info("gate.opened", scope=PACE_SCOPE, since=_iso(since), reason="the buyer answers again")

    def close(
        self, scope: str, *, code: int | None, reason: str, until: datetime | None, probe_s: float | None = None
    ) -> bool:
        """See `Gates.close`.

        The store hears of it at once, and the ledger decides: a store that is gone tomorrow must not open a cap.
        """
        self._open_what_is_over()
        draft = self._register.draft(scope, code, reason, to_ms(until) if until else None, probe_s)
        self._put(draft)
        new, row = self._register.close(draft)
        if new:
            log.warning("gate.closed", scope=scope, code=code, reason=reason, until=_iso(draft.until_ms))
        # Once more: it may have been closed before, by something else, or been forgotten between the two.
        self._put(row)
        return new

    def probed(self, scope: str, after: Callable[[int], float]) -> None:
        """See `Gates.probed`."""
        self._put(self._register.probed(scope, after))

    def is_doubtful(self, scope: str) -> bool:
        """See `Gates.is_doubtful`."""
        return self._register.is_doubtful(scope)

    def open(self, scope: str, why: str, *, by_probe: bool = False) -> bool:
        """See `Gates.open`."""
        was_closed = False
        if by_probe:
            self._open_what_is_over()  # a day that ended while this lead tried is closed as any other
        if scope != PACE_SCOPE:
            was_closed = self._register.open(scope, by_probe=by_probe)
        if (was_closed or not by_probe) and self._is_there():
            with suppress(RedisError), self._absence.watch(_why_away):
                if scope == PACE_SCOPE:
                    was_closed = self._store.open_pace()
                else:
                    self._store.forget([scope])
        if was_closed:
            log.info("gate.opened", scope=scope, reason=why)
        return was_closed

    def reset(self) -> list[Gate]:
        """See `Gates.reset`. The store is told again what the ledger knows: it may have been emptied, or away."""
        opened = self._open_what_is_over()
        self._log(self._register.end_days())
        self._log(self._register.unlogged(SWALLOWED_MS))
        if self._is_there():
            with suppress(RedisError), self._absence.watch(_why_away):
                self._tell_the_store()
        return opened

    def all(self) -> Iterator[Gate]:
        """See `Gates.all`.

        Raises:
            RedisError: the store is away, and nobody knows the pace.
        """
        yield self._store.pace()
        closed, over = self._register.closed()
        for row in sorted([*closed, *over], key=lambda row: row.scope):
            turned_away = row.turned_away + self._store.turned_away(row.scope)
            gate = _gate(row, closed=row in closed, turned_away=turned_away)
            yield replace(gate, takings=self._register.takings(row))
        shut = {row.scope for row in closed}
        for reset in self._register.late():
            if reset.scope not in shut and reset.opened_ms is not None:
                late = timedelta(seconds=(reset.opened_ms - reset.ends_ms) // 1000)
                words = f"the buyer sold again {late} after the reset"
                yield Gate(reset.scope, closed=False, reason=words, since=from_ms(reset.opened_ms))

    def pace(self) -> Gate:
        """Give the buyer's gate.

        Raises:
            RedisError: the store is away.
        """
        return self._store.pace()

    def shut(self) -> Iterator[Gate]:
        """Give the gates that the ledger knows as closed, whatever has become of the store."""
        for row in self._register.closed()[0]:
            turned_away = row.turned_away
            if self._is_there():
                with suppress(RedisError), self._absence.watch(_why_away):
                    turned_away += self._store.turned_away(row.scope)
            yield _gate(row, closed=True, turned_away=turned_away)

    def late_resets(self) -> dict[str, float]:
        """Give the scopes in which the buyer sold again only after our reset of today, and so many seconds after it."""
        late = self._register.late()
        return {it.scope: (it.opened_ms - it.ends_ms) / 1000 for it in late if it.opened_ms is not None}

    def _put(self, row: GateRow | None) -> None:
        if row is not None and self._is_there():
            with suppress(RedisError), self._absence.watch(_why_away):
                self._store.put([row])

    def _is_there(self) -> bool:
        """Whether the store may be asked. One that comes back is told what is closed before anybody asks it."""
        if not self._absence.on:
            return True
        if self._monotonic() < self._next_try or not self._trying.acquire(blocking=False):
            return False
        try:
            self._next_try = self._monotonic() + TRY_S
            with suppress(RedisError), self._absence.watch(_why_away):
                self._tell_the_store()
        finally:
            self._trying.release()
        return not self._absence.on

    def _tell_the_store(self) -> None:
        # The store first: what is closed meanwhile, and forgotten here, is put again when the ledger has it (`close`).
        here = self._store.scopes()
        closed, _ = self._register.closed()
        self._store.forget(sorted(here - {row.scope for row in closed}))
        self._store.put(closed)
        # What was opened while it was told.
        still = {row.scope for row in self._register.closed()[0]} if closed else set()
        self._store.forget([row.scope for row in closed if row.scope not in still])

    def _open_what_is_over(self) -> list[Gate]:
        opened = []
        for row in self._register.closed()[1]:
            turned_away = row.turned_away
            there = self._is_there()
            if there:
                with suppress(RedisError), self._absence.watch(_why_away):
                    turned_away += self._store.turned_away(row.scope)
            ended = self._register.end(row, turned_away)
            if ended is None:
                continue
            if there:
                with suppress(RedisError), self._absence.watch(_why_away):
                    self._store.forget([row.scope])
            self._log([ended])
            log.info("gate.opened", scope=row.scope, reason="the buyer's new day")
            opened.append(_gate(row, closed=False, turned_away=turned_away))
        return opened

    def _log(self, resets: Sequence[Reset]) -> None:
        """Write the lines of days that are over, and remember that they are written."""
        for reset in resets:
            sold, payout = reset.takings.sold, dollars(reset.takings.payout_micros)
            if reset.closed_since_ms is None:
                log.info("day.closed", day=reset.day, until=_iso(reset.ends_ms), sold=sold, payout=payout)
            else:
                log.info(
                    "cap.reset",
                    scope=reset.scope,
                    day=reset.day,
                    since=_iso(reset.closed_since_ms),
                    until=_iso(reset.ends_ms),
                    turned_away=reset.turned_away,
                    sold=sold,
                    payout=payout,
                )
        if resets:
            self._register.logged(resets)


def _gate(row: GateRow, *, closed: bool, turned_away: int) -> Gate:
    return Gate(
        row.scope,
        closed,
        row.code,
        row.reason,
        since=from_ms(row.since_ms),
        until=None if row.until_ms is None else from_ms(row.until_ms),
        turned_away=turned_away,
        probe_at=None if row.probe_ms is None else from_ms(row.probe_ms),
    )


def _iso(ms: int | None) -> str | None:
    return None if ms is None else rfc3339(from_ms(ms))

"""The gates as a step sees them: shared by all workers in the state store, and safe without it.

What is closed is decided by the ledger, and told to the store, which answers every step. While the store is away,
closed gates stay closed, since the ledger knows them; and each process keeps a slow pace of its own (`local.py`).
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from typing import Final

import structlog
from redis.exceptions import RedisError

from tasks.absence import Absence, named
from tasks.core.outcome import rfc3339
from tasks.gates.local import LocalPace
from tasks.gates.port import PACE_SCOPE, Admission, Gate, Heard
from tasks.gates.register import Register
from tasks.gates.store import HOLD_MS, Store
from tasks.ledger import GateRow
from tasks.ledger.rows import from_ms, to_ms

log = structlog.stdlib.get_logger()

LONGEST_RETRY_AFTER_S: Final = 30.0
# How often a store that is away is tried, by one thread of a process at a time.
TRY_S: Final = 0.5
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
        self._local = LocalPace(HOLD_MS, monotonic=monotonic)
        self._absence = Absence("store", monotonic=monotonic)
        self._monotonic = monotonic
        self._trying = threading.Lock()
        self._next_try = 0.0

    def admit(self, scope: str, budget_ms: int) -> Admission:
        """See `Gates.admit`."""
        ticket = uuid.uuid4().hex
        if self._is_there():
            with suppress(RedisError), self._absence.watch(_why_away):
                return self._store.admit(scope, ticket, budget_ms)
        return self._register.ask(scope) or self._local.admit(ticket, budget_ms / 1000)

    def heard(self, ticket: str, heard: Heard, *, code: int | None, reason: str, retry_after_s: float | None) -> None:
        """See `Gates.heard`."""
        wish = None if retry_after_s is None else min(retry_after_s, LONGEST_RETRY_AFTER_S)
        self._local.heard(ticket, heard, wish)
        if self._absence.on:
            return  # the call's place in the store frees itself when its time is over
        turned = None
        with suppress(RedisError), self._absence.watch(_why_away):
            turned = self._store.heard(ticket, heard, code=code, reason=reason, retry_after_s=wish)
        match turned:
            case ("closed", until):
                log.warning("gate.closed", scope=PACE_SCOPE, code=code, reason=reason, until=_iso(until))
            case ("opened", since):
                log.info("gate.opened", scope=PACE_SCOPE, since=_iso(since), reason="the buyer answers again")

    def close(self, scope: str, *, code: int | None, reason: str, until: datetime | None) -> bool:
        """See `Gates.close`. The ledger first: a store that is gone tomorrow must not open a cap."""
        self._open_what_is_over()
        until_ms = to_ms(until) if until else None
        row = self._register.close(scope, code, reason, until_ms)
        if row is None:
            return False
        log.warning("gate.closed", scope=scope, code=code, reason=reason, until=_iso(until_ms) if until_ms else None)
        if self._is_there():
            with suppress(RedisError), self._absence.watch(_why_away):
                self._store.put([row])
        return True

    def open(self, scope: str, why: str) -> bool:
        """See `Gates.open`."""
        was_closed = False
        if scope != PACE_SCOPE:
            was_closed = self._register.open(scope)
        if self._is_there():
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
            yield _gate(row, closed=row in closed, turned_away=row.turned_away + self._store.turned_away(row.scope))

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
        # The store first: a gate that is closed meanwhile is in the ledger before it is here, and is not forgotten.
        here = self._store.scopes()
        closed, _ = self._register.closed()
        self._store.forget(sorted(here - {row.scope for row in closed}))
        self._store.put(closed)

    def _open_what_is_over(self) -> list[Gate]:
        opened = []
        for row in self._register.closed()[1]:
            turned_away = row.turned_away
            there = self._is_there()
            if there:
                with suppress(RedisError), self._absence.watch(_why_away):
                    turned_away += self._store.turned_away(row.scope)
            if not self._register.open(row.scope):
                continue
            if there:
                with suppress(RedisError), self._absence.watch(_why_away):
                    self._store.forget([row.scope])
            gate = _gate(row, closed=False, turned_away=turned_away)
            log.info(
                "cap.reset",
                scope=row.scope,
                since=_iso(row.since_ms),
                until=_iso(row.until_ms or 0),
                turned_away=turned_away,
            )
            log.info("gate.opened", scope=row.scope, reason="the buyer's new day")
            opened.append(gate)
        return opened


def _gate(row: GateRow, *, closed: bool, turned_away: int) -> Gate:
    until = None if row.until_ms is None else from_ms(row.until_ms)
    return Gate(row.scope, closed, row.code, row.reason, from_ms(row.since_ms), until, turned_away)


def _iso(ms: int) -> str:
    return rfc3339(from_ms(ms))

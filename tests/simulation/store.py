"""A state store in memory: closed scopes, one hold, a few places."""

# ruff: noqa: ARG002 - a model keeps the signatures of what it stands for
from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from redis.exceptions import ConnectionError as StoreAway

from tasks.gates import Admission, Ask, Closed, Gate, Go, Heard, Probe, Wait
from tasks.gates.port import PACE_SCOPE
from tasks.gates.store import Turned
from tasks.ledger import GateRow
from tasks.ledger.rows import from_ms
from tests.simulation.strands import Clock, effect

PLACES: Final = 3


class ModelStore:
    """Stands in for `tasks.gates.store.RedisStore`: the same rules for caps, a plainer pace."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.away = False
        self.closed: dict[str, GateRow] = {}
        self._hold = 0
        self._flight: dict[str, int] = {}

    def _ask(self, name: str) -> None:
        effect(f"store.{name}")
        if self.away:
            raise StoreAway

    def forget_everything(self) -> None:
        """Be emptied, as a store without a disk is by a restart."""
        self.closed, self._flight, self._hold = {}, {}, 0

    def admit(self, ask: Ask, ticket: str) -> Admission:
        self._ask("admit")
        now = self._clock.ms
        probes: list[Probe] = []
        for scope in ask.scopes:
            gate = self.closed.get(scope)
            if gate is None or (gate.until_ms is not None and gate.until_ms <= now):
                continue
            if gate.probe_ms is None or gate.probe_ms > now:
                return Closed(scope, gate.code, gate.reason, from_ms(gate.until_ms) if gate.until_ms else None)
            probes.append(Probe(scope, gate.code))
        self._flight = {flying: until for flying, until in self._flight.items() if until > now}
        if self._hold > now:
            return Wait((self._hold - now) / 1000, "all wait", 1000)
        if len(self._flight) >= PLACES:
            return Wait(0.1, "the buyer is being tried")
        self._flight[ticket] = now + ask.budget_ms
        for probe in probes:
            self.closed[probe.scope] = replace(self.closed[probe.scope], probe_ms=now + ask.budget_ms)
        return Go(ticket, tuple(probes))

    def heard(
        self, ticket: str, heard: Heard, *, code: int | None, reason: str, retry_after_s: float | None
    ) -> Turned | None:
        self._ask("heard")
        self._flight.pop(ticket, None)
        if heard in (Heard.WAIT, Heard.SLOW):
            self._hold = self._clock.ms + 500
            return "closed", self._hold, code, reason
        return None

    def heard_well(self, ticket: str, then: Callable[[Turned | None], None]) -> None:
        with suppress(StoreAway):
            then(self.heard(ticket, Heard.WELL, code=None, reason="", retry_after_s=None))

    def flush(self) -> None:
        pass

    def leave(self, lead_id: str) -> None:
        self._ask("leave")

    def put(self, rows: Sequence[GateRow]) -> None:
        self._ask("put")
        self.closed |= {row.scope: row for row in rows}

    def forget(self, scopes: Sequence[str]) -> None:
        self._ask("forget")
        for scope in scopes:
            self.closed.pop(scope, None)

    def scopes(self) -> frozenset[str]:
        self._ask("scopes")
        return frozenset(self.closed)

    def turned_away(self, scope: str) -> int:
        self._ask("turned_away")
        return 0

    def pace(self) -> Gate:
        return Gate(PACE_SCOPE, closed=False)

    def open_pace(self) -> bool:
        return False

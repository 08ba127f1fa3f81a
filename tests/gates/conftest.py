"""Two views of the same gates, as two workers have them: one store, one ledger."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from redis import Redis

from tasks.core.caps import Calendar
from tasks.gates import Ask, Go, Heard, RedisStore, Register, SharedGates
from tasks.ledger import Ledger, migrate

SCOPE = "category:16001"
CALENDAR = Calendar(ZoneInfo("America/New_York"), time(0))


def ask(*scopes: str, lead_id: str = "", sells: bool = False, patience_ms: int = 20_000, budget_ms: int = 5000) -> Ask:
    """A call of a lead that must pass these gates; each without an id is another lead's."""
    return Ask(lead_id or uuid.uuid4().hex, scopes, budget_ms, patience_ms, sells)


@dataclass(frozen=True)
class Shared:
    """What the workers of a test share. `clock` gives what the store takes for now, in ms; 0: its own clock."""

    store: Redis
    ledger: Ledger
    clock: Callable[[], int] = lambda: 0

    def gates(self, *, test: bool = False) -> SharedGates:
        """One worker's gates."""
        return SharedGates(
            RedisStore(self.store, partner_id="XYZ", test=test, now_ms=self.clock),
            Register(self.ledger, CALENDAR, test=test),
        )

    def standing_still(self) -> Shared:
        """The same where no time passes but what a test moves in the records: a busy machine changes no answer."""
        seconds, microseconds = self.store.time()
        now = seconds * 1000 + microseconds // 1000
        return replace(self, clock=lambda: now)


def hear(gates: SharedGates, ticket: Go, heard: Heard, retry_after_s: float | None = None) -> None:
    code = {Heard.WAIT: 1000, Heard.SLOW: 1100}.get(heard)
    gates.heard(ticket, heard, code=code, reason="the buyer's words", retry_after_s=retry_after_s)
    gates.flush()


def go(gates: SharedGates) -> Go:
    answer = gates.admit(ask(SCOPE))
    assert isinstance(answer, Go)
    return answer


def burst(shared: Shared, size: int) -> list[Go]:
    """Ask for so many calls at once, and give those that may go."""
    answers = [shared.gates().admit(ask(SCOPE)) for _ in range(size)]
    return [answer for answer in answers if isinstance(answer, Go)]


def pass_the_hold(shared: Shared) -> None:
    """Make the hold's end come now: its record is moved."""
    shared.store.hset("pingpost:XYZ:live:pace", "hold", 1)


@pytest.fixture
def shared(redis_url: str, tmp_path: Path) -> Iterator[Shared]:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite3'}"
    migrate(url)
    # Whatever stands for a process here keeps a connection.
    store = Redis.from_url(redis_url, decode_responses=True, max_connections=2000)
    store.flushdb()
    ledger = Ledger.open(url)
    yield Shared(store, ledger)
    store.flushdb()
    store.close()
    ledger.close()

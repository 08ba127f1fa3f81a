"""Two views of the same gates, as two workers have them: one store, one ledger."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from redis import Redis

from tasks.core.caps import Calendar
from tasks.gates import Ask, RedisStore, Register, SharedGates
from tasks.ledger import Ledger, migrate

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

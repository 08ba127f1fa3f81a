"""Two views of the same gates, as two workers have them: one store, one ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis

from tasks.gates import RedisStore, Register, SharedGates
from tasks.ledger import Ledger, migrate


@dataclass(frozen=True)
class Shared:
    """What the workers of a test share."""

    store: Redis
    ledger: Ledger

    def gates(self, *, test: bool = False) -> SharedGates:
        """One worker's gates."""
        return SharedGates(RedisStore(self.store, partner_id="XYZ", test=test), Register(self.ledger, test=test))


@pytest.fixture
def shared(redis_url: str, tmp_path: Path) -> Iterator[Shared]:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite3'}"
    migrate(url)
    store = Redis.from_url(redis_url, decode_responses=True)
    store.flushdb()
    ledger = Ledger.open(url)
    yield Shared(store, ledger)
    store.flushdb()
    store.close()
    ledger.close()

"""What metrics say of gates while the state store, or nothing, is away."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from ops.servers.own import free_port
from tasks.core.caps import Day
from tasks.gates import RedisStore, Register, SharedGates
from tasks.ledger import GateRow, Ledger, migrate
from tasks.ledger.rows import to_ms
from tests.gates.conftest import CALENDAR
from workers.metrics import Name, ledger_of, store_of

CAP, ACCOUNT = "category:16001", "partner:XYZ"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite3'}"
    migrate(url)
    opened = Ledger.open(url)
    yield opened
    opened.close()


@pytest.fixture
def gates(ledger: Ledger) -> Iterator[SharedGates]:
    """Gates whose store is nowhere."""
    store = Redis(port=free_port(), retry=Retry(NoBackoff(), 0), socket_timeout=1, decode_responses=True)
    yield SharedGates(RedisStore(store, partner_id="XYZ", test=False), Register(ledger, CALENDAR, test=False))
    store.close()


def test_without_the_store_the_ledger_s_gates_are_shown_and_nobody_knows_the_pace(gates, ledger):
    """A cap that is met must not look open to an operator because Redis is down. One that has no end shows none."""
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=5)
    gates.close(CAP, code=4000, reason="Daily Cap reached", until=until)
    gates.close(ACCOUNT, code=2000, reason="Blocked source", until=None)
    shown = {(name, *labels): value for name, labels, value in ledger_of(ledger, gates)()}
    assert (shown[Name.GATE_CLOSED, CAP, "4000"], shown[Name.GATE_CLOSED, ACCOUNT, "2000"]) == (1, 1)
    assert {key: value for key, value in shown.items() if key[0] == Name.GATE_OPENS} == {
        (Name.GATE_OPENS, CAP): until.timestamp()
    }
    with pytest.raises(RedisError):
        list(store_of(gates)())


def test_a_buyer_whose_day_begins_after_ours_is_shown_with_by_how_much(gates, ledger):
    """Yesterday's cap was opened at our midnight, and the buyer has sold again only now."""
    now = datetime.now(UTC)
    begins = CALENDAR.begins(CALENDAR.day(now))
    yesterday = Day(CALENDAR.day(now) - timedelta(days=1), begins - timedelta(days=1), begins)
    gate = GateRow(CAP, 4000, "Daily Cap reached", to_ms(yesterday.begins), to_ms(begins))
    ledger.close_gate(gate)
    ledger.end_gate(gate, yesterday)
    assert gates.late_resets() == {}
    ledger.sold_again(CAP)
    late = {labels: value for name, labels, value in ledger_of(ledger, gates)() if name == Name.RESET_LATE}
    assert late == {(CAP,): pytest.approx((datetime.now(UTC) - begins).total_seconds(), abs=60)}

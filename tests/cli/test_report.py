"""`pingpost report`: payouts for people and for scripts."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, time
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from click.testing import Result
from sqlalchemy import update

from tasks.core.caps import buyer_day
from tasks.core.outcome import Status
from tasks.core.protocol import Call
from tasks.core.states import State
from tasks.ledger import Ledger
from tasks.ledger.rows import to_ms
from tasks.ledger.schema import leads
from tests.ledger.stories import SALE, bring, end, exchange, sold
from workers.cli.report import dollars

Run = Callable[..., Result]
ZONE = ZoneInfo("America/New_York")


def sell(ledger: Ledger, lead_id: str, at: datetime | None = None, **how: str | bool) -> None:
    mine = bring(ledger, State.POSTING, lead_id, **how)
    ledger.settle(mine, exchange(Call.POST, SALE), sold(mine))
    if at:
        with ledger.engine.begin() as connection:
            connection.execute(update(leads).where(leads.c.lead_id == lead_id).values(ended_at=to_ms(at)))


def test_today_s_payouts_are_told_without_being_asked_for(ledger: Ledger, run: Run):
    sell(ledger, "L1")
    sell(ledger, "L2", test=True)
    mine = bring(ledger, State.POSTING, "L3")
    ledger.move(mine, end(mine, Status.UNKNOWN))
    (row,) = json.loads(run("report", "--json").stdout)
    assert row == {
        "day": buyer_day(datetime.now(UTC), ZONE, time(0)).isoformat(),
        "numcategory": 16001,
        "subid": "123",
        "sold": 1,
        "price_quoted": "12.50",
        "price_confirmed": "12.00",
        "payout": "12.00",
        "possible": 1,
        "possible_payout": "12.50",
        "counts": {"sold": 1, "unknown": 1},
        "tests": {"sold": 1},
    }


def test_the_table_has_a_row_a_group_and_the_sums(ledger: Ledger, run: Run):
    sell(ledger, "L1", subid="a")
    sell(ledger, "L2", subid="b")
    shown = run("report")
    assert shown.exit_code == 0
    assert "12.00" in shown.stdout
    assert "24.00" in shown.stdout


def test_days_are_the_buyer_s_and_both_ends_are_included(ledger: Ledger, run: Run):
    for number, hour in enumerate((3, 4, 28, 29)):  # 23:00 on the 9th, midnights in New York are at 4 and 28 UTC
        sell(ledger, f"L{number}", datetime(2026, 6, 10 + hour // 24, hour % 24, tzinfo=UTC))
    rows = json.loads(run("report", "--since", "2026-06-10", "--until", "2026-06-10", "--json").stdout)
    assert [(row["day"], row["sold"]) for row in rows] == [("2026-06-10", 1)]
    rows = json.loads(run("report", "--since", "2026-06-09", "--until", "2026-06-11", "--json").stdout)
    assert [(row["day"][-2:], row["sold"]) for row in rows] == [("09", 1), ("10", 1), ("11", 2)]


@pytest.mark.parametrize(("reset", "days"), [("00:00", ["10", "11"]), ("18:00", ["09", "10"]), ("06:30", ["09", "10"])])
def test_a_day_begins_at_the_buyer_s_hour(
    ledger: Ledger, run: Run, monkeypatch: pytest.MonkeyPatch, reset: str, days: list[str]
):
    monkeypatch.setenv("PINGPOST_BUYER_RESET", reset)
    sell(ledger, "L1", datetime(2026, 6, 10, 8, 0, tzinfo=UTC))  # 4:00 in New York
    sell(ledger, "L2", datetime(2026, 6, 11, 8, 0, tzinfo=UTC))
    for day in days:
        (row,) = json.loads(run("report", "--since", f"2026-06-{day}", "--until", f"2026-06-{day}", "--json").stdout)
        assert (row["day"], row["sold"]) == (f"2026-06-{day}", 1)


def test_no_lead_is_said_so(ledger: Ledger, run: Run):
    shown = run("report", "--since", "2020-01-01", "--until", "2020-01-02")
    assert (shown.exit_code, shown.stdout) == (
        0,
        "no lead ended between 2020-01-01 and 2020-01-02 (America/New_York)\n",
    )
    assert json.loads(run("report", "--since", "2020-01-01", "--until", "2020-01-02", "--json").stdout) == []


def test_days_the_wrong_way_round_are_refused(ledger: Ledger, run: Run):
    shown = run("report", "--since", "2026-06-11", "--until", "2026-06-10")
    assert (shown.exit_code, shown.stderr) == (2, "pingpost report: --since 2026-06-11 is after --until 2026-06-10\n")


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0", "0.00"), ("100", "100.00"), ("12.5", "12.50"), ("0.125", "0.125"), ("1234567.000001", "1234567.000001")],
)
def test_dollars_have_two_decimals_or_as_many_as_it_takes(amount: str, text: str):
    assert dollars(Decimal(amount)) == text

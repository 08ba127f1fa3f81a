"""Payouts: by the buyer's day, category and sub source; to the cent, and never a test among them."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import count, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from tasks.core.caps import buyer_day
from tasks.core.money import Money
from tasks.core.outcome import Status
from tasks.core.protocol import Call
from tasks.core.sale import Sale
from tasks.ledger import Ledger
from tasks.ledger.report import PayoutRow, _days, payouts
from tasks.ledger.rows import micros, to_ms
from tasks.ledger.schema import leads
from tests.ledger.stories import SALE, claimed, end, exchange, sold, standing, take_in

NEW_YORK = ZoneInfo("America/New_York")
MIDNIGHT = time(0)
NOON = datetime(2026, 11, 23, 17, 0, tzinfo=UTC)
_numbers = count()


def ended(
    ledger: Ledger,
    status: Status = Status.SOLD,
    *,
    at: datetime = NOON,
    quoted: str | None = "12.50",
    confirmed: str | None = "12.00",
    call: Call = Call.POST,
    test: bool = False,
    **fields: str,
) -> str:
    """Let a lead end at a time, having been quoted and confirmed so much."""
    lead_id = f"L{next(_numbers)}"
    price = None if quoted is None else Money.parse(quoted)
    if call is Call.POST:
        take_in(ledger, lead_id, test=test, **fields)
        row = claimed(ledger, standing(ledger, lead_id), Call.PING)
    else:
        row = claimed(ledger, take_in(ledger, lead_id, call, test=test, price=price, **fields), call)
    paid = None if confirmed is None else Money.parse(confirmed)
    values: dict[str, object] = {"status": status.value, "state": status.value, "ended_at": to_ms(at)}
    values |= {"price_confirmed": micros(paid)}
    if call is Call.POST:
        values |= {"price_quoted": micros(price)}
    with ledger.engine.begin() as connection:
        connection.execute(update(leads).where(leads.c.lead_id == row.lead_id).values(values))
    return lead_id


def report(
    ledger: Ledger,
    since: datetime = NOON - timedelta(days=30),
    until: datetime = NOON + timedelta(days=30),
    zone: ZoneInfo = NEW_YORK,
    reset: time = MIDNIGHT,
) -> list[PayoutRow]:
    return ledger.read(lambda connection: payouts(connection, zone, reset, to_ms(since), to_ms(until)))


def test_nothing_ended_is_nothing_to_report(ledger: Ledger):
    take_in(ledger)
    assert report(ledger) == []


def test_a_sale_made_by_the_ledger_s_own_moves_is_counted(ledger: Ledger):
    mine = claimed(ledger, take_in(ledger, call=Call.ONE_STEP), Call.ONE_STEP)
    assert ledger.settle(mine, exchange(Call.ONE_STEP, SALE), sold(mine))
    now = datetime.now(UTC)
    (row,) = report(ledger, now - timedelta(days=2), now + timedelta(days=2))
    assert (row.sold, row.payout, row.numcategory, row.subid) == (1, Decimal(12), 16001, "123")


def test_a_payout_is_the_confirmed_price_else_the_quoted_one(ledger: Ledger):
    ended(ledger, quoted="12.50", confirmed="12.00")
    ended(ledger, quoted="7.25", confirmed=None)
    ended(ledger, quoted="0.333333", confirmed="0.333334")
    (row,) = report(ledger)
    assert row == PayoutRow(
        day=date(2026, 11, 23),
        numcategory=16001,
        subid="123",
        counts={Status.SOLD: 3},
        tests={},
        sold=3,
        quoted=Decimal("20.083333"),
        confirmed=Decimal("12.333334"),
        payout=Decimal("19.583334"),
        possible=0,
        possible_payout=Decimal(0),
    )


def test_a_direct_post_is_quoted_at_its_agreed_price(ledger: Ledger):
    ended(ledger, call=Call.DIRECT_POST, quoted="0.50", confirmed=None)
    (row,) = report(ledger)
    assert (row.quoted, row.confirmed, row.payout) == (Decimal("0.5"), Decimal(0), Decimal("0.5"))


def test_every_status_is_counted_and_only_sales_pay(ledger: Ledger):
    for status in Status:
        ended(ledger, status, confirmed=None)
    (row,) = report(ledger)
    assert row.counts == dict.fromkeys(Status, 1)
    assert row.payout == Decimal("12.5")


def test_what_the_buyer_may_have_counted_stands_apart(ledger: Ledger):
    ended(ledger, Status.UNKNOWN, confirmed=None)
    ended(ledger, Status.UNKNOWN, confirmed="11.00")
    ended(ledger, Status.REJECTED, quoted=None, confirmed="1.00")  # sold under the floor, its number withheld
    ended(ledger, Status.REJECTED, confirmed=None)
    (row,) = report(ledger)
    assert (row.sold, row.payout) == (0, Decimal(0))
    assert (row.possible, row.possible_payout) == (3, Decimal("24.5"))


def test_a_test_never_counts_into_a_payout(ledger: Ledger):
    ended(ledger)
    ended(ledger, test=True)
    ended(ledger, Status.UNKNOWN, test=True)
    (row,) = report(ledger)
    assert (row.sold, row.payout, row.possible) == (1, Decimal(12), 0)
    assert row.counts == {Status.SOLD: 1}
    assert row.tests == {Status.SOLD: 1, Status.UNKNOWN: 1}


def test_rows_are_ordered_by_day_category_and_sub_source(ledger: Ledger):
    ended(ledger, subid="b")
    ended(ledger, subid="a")
    ended(ledger, numcategory="16002", subid="a")
    ended(ledger, subid="z", at=NOON - timedelta(days=1))
    assert [(row.day.day, row.numcategory, row.subid) for row in report(ledger)] == [
        (22, 16001, "z"),
        (23, 16001, "a"),
        (23, 16001, "b"),
        (23, 16002, "a"),
    ]


@pytest.mark.parametrize(
    ("at", "day"),
    [
        # 1 November 2026 has 25 hours in New York, 8 March 2026 has 23.
        (datetime(2026, 11, 1, 3, 59, 59, 999_000, tzinfo=UTC), date(2026, 10, 31)),
        (datetime(2026, 11, 1, 4, 0, tzinfo=UTC), date(2026, 11, 1)),
        (datetime(2026, 11, 2, 4, 59, 59, 999_000, tzinfo=UTC), date(2026, 11, 1)),
        (datetime(2026, 11, 2, 5, 0, tzinfo=UTC), date(2026, 11, 2)),
        (datetime(2026, 3, 8, 4, 59, 59, 999_000, tzinfo=UTC), date(2026, 3, 7)),
        (datetime(2026, 3, 8, 5, 0, tzinfo=UTC), date(2026, 3, 8)),
        (datetime(2026, 3, 9, 3, 59, 59, 999_000, tzinfo=UTC), date(2026, 3, 8)),
        (datetime(2026, 3, 9, 4, 0, tzinfo=UTC), date(2026, 3, 9)),
    ],
)
def test_a_day_is_the_buyer_s_also_where_clocks_change(ledger: Ledger, at: datetime, day: date):
    ended(ledger, at=at)
    (row,) = report(ledger, at - timedelta(days=3), at + timedelta(days=3))
    assert row.day == day


def test_a_buyer_s_day_may_begin_in_the_evening(ledger: Ledger):
    ended(ledger, at=datetime(2026, 11, 23, 22, 59, tzinfo=UTC))  # 17:59 in New York
    ended(ledger, at=datetime(2026, 11, 23, 23, 0, tzinfo=UTC))
    assert [row.day.day for row in report(ledger, reset=time(18))] == [22, 23]


def test_the_first_moment_counts_and_the_last_does_not(ledger: Ledger):
    ended(ledger, at=NOON)
    ended(ledger, at=NOON + timedelta(hours=1))
    (row,) = report(ledger, NOON, NOON + timedelta(hours=1))
    assert row.sold == 1
    assert report(ledger, NOON, NOON) == []


def test_years_are_reported_at_once(ledger: Ledger):
    ended(ledger, at=NOON - timedelta(days=365 * 20))
    ended(ledger, at=NOON)
    assert len(report(ledger, NOON - timedelta(days=365 * 21))) == 2


@given(
    begin=st.integers(0, 3650).map(lambda days: NOON + timedelta(days=days, minutes=days * 7)),
    hours=st.integers(1, 2000),
    zone=st.sampled_from(["America/New_York", "UTC", "Australia/Lord_Howe", "America/St_Johns"]),
    reset=st.times().map(lambda at: at.replace(second=0, microsecond=0)),
)
def test_days_cover_a_stretch_of_time_without_gap_or_overlap(begin: datetime, hours: int, zone: str, reset: time):
    since, until = to_ms(begin), to_ms(begin) + hours * 3_600_000
    days = list(_days(ZoneInfo(zone), reset, since, until))
    assert (days[0][2], days[-1][3]) == (since, until)
    assert all(left[3] == right[2] for left, right in pairwise(days))
    for day, _, first, end_ in days:
        for at in (first, end_ - 1):
            assert buyer_day(datetime.fromtimestamp(at / 1000, UTC), ZoneInfo(zone), reset) == day


def test_an_under_the_floor_sale_of_the_real_moves_is_possible(ledger: Ledger):
    mine = claimed(ledger, take_in(ledger, call=Call.ONE_STEP), Call.ONE_STEP)
    step = end(mine, Status.REJECTED, price_confirmed=Money.parse("1.00"))
    step.values["price_confirmed"] = 1_000_000
    assert ledger.settle(mine, exchange(Call.ONE_STEP, Sale("8005550123", Money.parse("1.00"))), step)
    now = datetime.now(UTC)
    (row,) = report(ledger, now - timedelta(days=2), now + timedelta(days=2))
    assert (row.sold, row.possible, row.possible_payout) == (0, 1, Decimal(1))

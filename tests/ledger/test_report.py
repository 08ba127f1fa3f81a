"""What leads brought: by the buyer's day, hour, category, sub source and call; to the cent, and never with a test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, update

from tasks.core.callreport import CallReport
from tasks.core.caps import Calendar
from tasks.core.money import Money
from tasks.core.outcome import Status
from tasks.core.protocol import Call
from tasks.core.reasons import Refusal
from tasks.core.sale import Sale
from tasks.core.states import State
from tasks.core.tally import Tally, total
from tasks.ledger import Ledger, Move
from tasks.ledger.report import By, Report, Span, report
from tasks.ledger.rows import from_ms, micros, to_ms
from tasks.ledger.schema import leads
from tests.ledger.crowd import fill
from tests.ledger.stories import BID, SALE, bring, claimed, columns, end, exchange, sold, standing, take_in

NEW_YORK = ZoneInfo("America/New_York")
MIDNIGHT = time(0)
NOON = datetime(2026, 11, 23, 17, 0, tzinfo=UTC)
EACH = (By.DAY, By.CATEGORY, By.SUBID)
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


def told(
    ledger: Ledger,
    *by: By,
    first: date = date(2026, 11, 1),
    last: date = date(2026, 11, 30),
    zone: ZoneInfo = NEW_YORK,
    reset: time = MIDNIGHT,
) -> Report:
    span = Span(Calendar(zone, reset), first, last)
    return ledger.read(lambda connection: report(connection, span, by))


def whole(ledger: Ledger, **when: Any) -> Tally:
    return total(told(ledger, **when).values())


def today(ledger: Ledger) -> Tally:
    day = datetime.now(UTC).date()
    return whole(ledger, first=day - timedelta(days=2), last=day + timedelta(days=2))


def test_nothing_ended_is_nothing_to_report(ledger: Ledger):
    take_in(ledger)
    assert told(ledger, *EACH) == {}
    assert today(ledger) == Tally()


def test_a_sale_made_by_the_ledger_s_own_moves_is_counted(ledger: Ledger):
    mine = bring(ledger, State.POSTING)
    assert ledger.settle(mine, exchange(Call.POST, SALE), sold(mine))
    assert today(ledger) == Tally(
        counts={Status.SOLD: 1},
        pings=1,
        pinged=1,
        answered=1,
        bids=1,
        bid_total=12_500_000,
        posts=1,
        posted=1,
        quoted=12_500_000,
        confirmed=12_000_000,
        difference=-500_000,
        payout=12_000_000,
    )


def test_a_one_step_sale_is_no_ping_and_no_bid(ledger: Ledger):
    mine = claimed(ledger, take_in(ledger, call=Call.ONE_STEP), Call.ONE_STEP)
    assert ledger.settle(mine, exchange(Call.ONE_STEP, SALE), sold(mine))
    assert today(ledger) == Tally({Status.SOLD: 1}, posts=1, posted=1, confirmed=12_000_000, payout=12_000_000)


def test_a_payout_is_the_confirmed_price_else_the_quoted_one(ledger: Ledger):
    ended(ledger, quoted="12.50", confirmed="12.00")
    ended(ledger, quoted="7.25", confirmed=None)
    ended(ledger, quoted="0.333333", confirmed="0.333334")
    told_of = whole(ledger)
    assert (told_of.quoted, told_of.confirmed, told_of.payout) == (20_083_333, 12_333_334, 19_583_334)
    assert (told_of.difference, told_of.unconfirmed) == (-499_999, 1)
    assert (told_of.sold, told_of.bids, told_of.bid_total, told_of.average_bid) == (3, 3, 20_083_333, 6_694_444)


def test_a_direct_post_is_quoted_at_its_agreed_price(ledger: Ledger):
    ended(ledger, call=Call.DIRECT_POST, quoted="0.50", confirmed=None)
    told_of = whole(ledger)
    assert (told_of.quoted, told_of.confirmed, told_of.payout, told_of.unconfirmed) == (500_000, 0, 500_000, 1)
    assert (told_of.bids, told_of.average_bid, told_of.accept_rate) == (0, None, None)


def test_every_status_is_counted_and_only_sales_pay(ledger: Ledger):
    for status in Status:
        ended(ledger, status, confirmed=None)
    told_of = whole(ledger)
    assert told_of.counts == dict.fromkeys(Status, 1)
    assert (told_of.leads, told_of.payout) == (len(Status), 12_500_000)


def test_what_the_buyer_may_have_counted_stands_apart(ledger: Ledger):
    ended(ledger, Status.UNKNOWN, confirmed=None)
    ended(ledger, Status.UNKNOWN, confirmed="11.00")
    ended(ledger, Status.REJECTED, quoted=None, confirmed="1.00")  # sold under the floor, its number withheld
    ended(ledger, Status.REJECTED, confirmed=None)
    told_of = whole(ledger)
    assert (told_of.sold, told_of.payout) == (0, 0)
    assert (told_of.possible, told_of.possible_payout) == (3, 24_500_000)


def test_of_what_sales_pay_reports_of_calls_say_what_is_due_and_what_is_lost(ledger: Ledger):
    """The last report of each call alone; of the rest nobody has told."""
    for lead_id in ("L1", "L2", "L3"):
        bring(ledger, State.SOLD, lead_id)
    at = from_ms(columns(ledger)["ended_at"])
    ledger.keep_reports([CallReport("L1", None, 0), CallReport("L1", at, 90_000), CallReport("L2", at, 89_999)])
    told_of = today(ledger)
    assert (told_of.sold, told_of.payout, told_of.due, told_of.lost) == (3, 36_000_000, 12_000_000, 12_000_000)


def test_a_test_never_counts_into_anything_else(ledger: Ledger):
    ended(ledger)
    live = whole(ledger)
    ended(ledger, test=True)
    ended(ledger, Status.UNKNOWN, test=True)
    assert whole(ledger) == replace(live, tests={Status.SOLD: 1, Status.UNKNOWN: 1})


def refused(ledger: Ledger, lead_id: str, code: int, status: Status | None) -> None:
    """Ping a lead once and get this code: the end with a status, or (None) the ping is to be repeated."""
    mine = bring(ledger, State.PINGING, lead_id)
    step = end(mine, status, code=code) if status else Move(State.RECEIVED, values={"last_code": code})
    assert ledger.settle(mine, exchange(Call.PING, Refusal(code, "no")), step)


def test_accepted_is_what_was_bid_for_of_what_was_answered(ledger: Ledger):
    """A 1000 is no answer, nor is silence; and the code of a closed gate is not the buyer's word on this lead."""
    bring(ledger, State.SOLD, "bid")
    refused(ledger, "no", 5000, Status.REJECTED)
    refused(ledger, "cap", 4000, Status.CAPPED)
    row = take_in(ledger, "gate")
    ledger.move(row, end(row, Status.CAPPED, code=4000))
    for lead_id, status in (("again, gate", Status.CAPPED), ("again, late", Status.EXPIRED)):
        refused(ledger, lead_id, 1000, None)
        row = standing(ledger, lead_id)
        ledger.move(row, end(row, status, code=4000))
    told_of = today(ledger)
    assert (told_of.leads, told_of.pings, told_of.pinged) == (6, 5, 5)
    assert (told_of.bids, told_of.answered, told_of.accept_rate) == (1, 3, 1 / 3)


def test_a_bid_under_the_floor_is_a_bid(ledger: Ledger):
    mine = bring(ledger, State.PINGING)
    ledger.settle(mine, exchange(Call.PING, BID), replace(end(mine), values={"price_quoted": 1_000_000}))
    told_of = today(ledger)
    assert (told_of.bids, told_of.answered, told_of.sold, told_of.average_bid) == (1, 1, 0, 1_000_000)


def test_rows_are_ordered_by_what_they_are_grouped_by(ledger: Ledger):
    ended(ledger, subid="b")
    ended(ledger, subid="a")
    ended(ledger, numcategory="16002", subid="a")
    ended(ledger, subid="z", at=NOON - timedelta(days=1))
    day = date(2026, 11, 23)
    before = day - timedelta(days=1)
    assert [*told(ledger, *EACH)] == [(before, 16001, "z"), (day, 16001, "a"), (day, 16001, "b"), (day, 16002, "a")]
    assert [*told(ledger, By.SUBID)] == [("a",), ("b",), ("z",)]
    assert [*told(ledger, By.CATEGORY, By.DAY)] == [(16001, before), (16001, day), (16002, day)]


@given(by=st.lists(st.sampled_from(By), unique=True))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
def test_every_grouping_adds_up_to_the_same(crowd: Ledger, by: list[By]):
    groups = told(crowd, *by, first=date(2026, 10, 31), last=date(2026, 11, 2))
    assert {len(group) for group in groups} == {len(by)}
    assert total(groups.values()) == whole(crowd, first=date(2026, 10, 31), last=date(2026, 11, 2))


@pytest.fixture
def crowd(ledger: Ledger) -> Ledger:
    """Three hundred leads on the three days around the one of 25 hours."""
    with ledger.engine.begin() as connection:
        fill(connection, 300, first=datetime(2026, 10, 31, 4, tzinfo=UTC), days=3)
    return ledger


def test_the_calls_of_a_lead_tell_the_flows_apart(ledger: Ledger):
    ended(ledger)
    ended(ledger, call=Call.ONE_STEP, quoted=None)
    ended(ledger, call=Call.DIRECT_POST, quoted="0.50")
    assert {call: tally.posts for (call,), tally in told(ledger, By.CALL).items()} == {
        "direct_post": 1,
        "one_step": 1,
        "ping": 0,
    }


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
    assert [*told(ledger, By.DAY, first=day - timedelta(days=3), last=day + timedelta(days=3))] == [(day,)]
    assert whole(ledger, first=day, last=day).sold == 1
    assert whole(ledger, first=day - timedelta(days=3), last=day - timedelta(days=1)).sold == 0


def test_a_buyer_s_day_may_begin_in_the_evening(ledger: Ledger):
    ended(ledger, at=datetime(2026, 11, 23, 22, 59, tzinfo=UTC))  # 17:59 in New York
    ended(ledger, at=datetime(2026, 11, 23, 23, 0, tzinfo=UTC))
    assert [day.day for (day,) in told(ledger, By.DAY, reset=time(18))] == [22, 23]


@pytest.mark.parametrize(
    ("at", "hour"),
    [
        # 1 November 2026: 05:30 and 06:30 UTC are both 01:30 in New York. 8 March: after 01:59 comes 03:00.
        (datetime(2026, 11, 1, 4, 59, 59, 999_000, tzinfo=UTC), 0),
        (datetime(2026, 11, 1, 5, 30, tzinfo=UTC), 1),
        (datetime(2026, 11, 1, 6, 30, tzinfo=UTC), 1),
        (datetime(2026, 11, 1, 7, 0, tzinfo=UTC), 2),
        (datetime(2026, 11, 2, 4, 59, tzinfo=UTC), 23),
        (datetime(2026, 3, 8, 6, 59, 59, 999_000, tzinfo=UTC), 1),
        (datetime(2026, 3, 8, 7, 0, tzinfo=UTC), 3),
    ],
)
@pytest.mark.parametrize("by", [(By.HOUR,), (By.DAY, By.HOUR)])
def test_an_hour_is_that_of_the_buyer_s_clocks_also_where_they_change(
    ledger: Ledger, at: datetime, hour: int, by: tuple[By, ...]
):
    ended(ledger, at=at)
    ((*_, found),) = told(ledger, *by, first=at.date() - timedelta(days=3), last=at.date() + timedelta(days=3))
    assert found == hour


def test_hours_are_whole_where_the_clocks_are_half_an_hour_off(ledger: Ledger):
    ended(ledger, at=datetime(2026, 11, 23, 18, 29, tzinfo=UTC))  # 23:59 in Kolkata
    ended(ledger, at=datetime(2026, 11, 23, 18, 30, tzinfo=UTC))
    groups = told(ledger, By.DAY, By.HOUR, zone=ZoneInfo("Asia/Kolkata"))
    assert [(day.day, hour) for day, hour in groups] == [(23, 23), (24, 0)]


def test_both_days_are_in_it_whole(ledger: Ledger):
    for hour in (4, 5, 28, 29):  # midnights in New York are at 5 and 29 UTC
        ended(ledger, at=datetime(2026, 11, 23 + hour // 24, hour % 24, tzinfo=UTC))
    assert whole(ledger, first=date(2026, 11, 23), last=date(2026, 11, 23)).sold == 2
    assert whole(ledger, first=date(2026, 11, 22), last=date(2026, 11, 24)).sold == 4


def test_years_are_reported_at_once(ledger: Ledger):
    ended(ledger, at=NOON - timedelta(days=365 * 20))
    ended(ledger, at=NOON)
    assert len(told(ledger, By.DAY, first=date(2005, 1, 1))) == 2
    assert len(told(ledger, By.HOUR, first=date(2005, 1, 1))) == 1


def test_what_is_told_of_one_moment_is_of_one_moment(ledger: Ledger, open_ledger: Callable[[], Ledger]):
    """A sale between two questions of one reading is in neither answer."""
    other = open_ledger()
    span = Span(Calendar(NEW_YORK, MIDNIGHT), date(2026, 11, 1), date(2026, 11, 30))

    def twice(connection: Connection) -> tuple[int, int]:
        before = total(report(connection, span, EACH).values()).sold
        ended(other)
        return before, total(report(connection, span, EACH).values()).sold

    assert ledger.read(twice, one_moment=True) == (0, 0)
    assert whole(ledger).sold == 1


def test_an_under_the_floor_sale_of_the_real_moves_is_possible(ledger: Ledger):
    mine = claimed(ledger, take_in(ledger, call=Call.ONE_STEP), Call.ONE_STEP)
    step = end(mine, Status.REJECTED, price_confirmed=Money.parse("1.00"))
    step.values["price_confirmed"] = 1_000_000
    assert ledger.settle(mine, exchange(Call.ONE_STEP, Sale("8005550123", Money.parse("1.00"))), step)
    told_of = today(ledger)
    assert (told_of.sold, told_of.possible, told_of.possible_payout) == (0, 1, 1_000_000)

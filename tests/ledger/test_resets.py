"""The buyer's days that are over: each once, with what it brought, whoever looks and whenever."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import update

from tasks.core.caps import Calendar, Day
from tasks.core.protocol import Call
from tasks.core.states import State
from tasks.ledger import GateRow, Ledger
from tasks.ledger.resets import WHOLE
from tasks.ledger.rows import Takings, from_ms, to_ms
from tasks.ledger.schema import gates, leads, resets
from tests.ledger.stories import SALE, at_once, bring, exchange, sold

CALENDAR = Calendar(ZoneInfo("America/New_York"), time(0))
CATEGORY = "category:16001"


def sell(ledger: Ledger, lead_id: str, at: datetime, **how: object) -> None:
    mine = bring(ledger, State.POSTING, lead_id, **how)
    ledger.settle(mine, exchange(Call.POST, SALE), sold(mine))
    put(ledger, lead_id, at)


def put(ledger: Ledger, lead_id: str, at: datetime) -> None:
    with ledger.engine.begin() as connection:
        connection.execute(update(leads).where(leads.c.lead_id == lead_id).values(ended_at=to_ms(at)))


@pytest.fixture
def now(ledger: Ledger) -> datetime:
    return from_ms(ledger.now_ms())


def day_at(moment: datetime) -> Day:
    begins = CALENDAR.begins(CALENDAR.day(moment))
    return Day(CALENDAR.day(moment), begins, CALENDAR.ends(moment))


def test_what_a_scope_has_brought_is_what_was_sold_in_it_and_is_no_test(ledger: Ledger, now: datetime):
    sell(ledger, "L1", now)
    sell(ledger, "L2", now, subid="other")
    sell(ledger, "L3", now, test=True)
    sell(ledger, "L4", now - timedelta(days=2))
    bring(ledger, State.REJECTED, "L5")
    begins, ends = to_ms(now - timedelta(days=1)), to_ms(now + timedelta(seconds=1))
    brought = {
        scope: ledger.takings(scope, begins, ends)
        for scope in (CATEGORY, "subid:other", "partner:XYZ", "category:16002", f"test/{CATEGORY}")
    }
    assert brought == {
        CATEGORY: Takings(2, 24_000_000),
        "subid:other": Takings(1, 12_000_000),
        "partner:XYZ": Takings(2, 24_000_000),
        "category:16002": Takings(0, 0),
        f"test/{CATEGORY}": Takings(1, 12_000_000),
    }


def test_another_source_sells_where_the_buyer_has_bid_since(ledger: Ledger, now: datetime):
    bring(ledger, State.REJECTED, "L1")  # its ping was bid for, its post refused
    hour = timedelta(hours=1)
    put(ledger, "L1", now)
    assert ledger.other_source_sells("another", to_ms(now - hour))
    assert not ledger.other_source_sells("123", to_ms(now - hour))
    ledger.close_gate(GateRow("subid:123", 2000, "Blocked source", to_ms(now), None))
    assert not ledger.other_source_sells("another", to_ms(now - hour))


def test_days_that_are_over_are_kept_once_with_what_they_brought(ledger: Ledger, now: datetime):
    """Beat was dead for three days: each of them is kept when somebody looks."""
    for ago, number in ((3, 1), (3, 2), (1, 3)):
        sell(ledger, f"L{number}", now - timedelta(days=ago))
    kept = ledger.end_days(CALENDAR)
    assert [reset.day for reset in kept] == [(CALENDAR.day(now) - timedelta(days=ago)).isoformat() for ago in (3, 2, 1)]
    assert [reset.takings.sold for reset in kept] == [2, 0, 1]
    assert {reset.scope for reset in kept} == {WHOLE}
    assert ledger.end_days(CALENDAR) == []


def test_a_ledger_without_leads_has_no_days(ledger: Ledger):
    assert ledger.end_days(CALENDAR) == []


def test_two_beats_keep_a_day_once(open_ledger: Callable[[], Ledger], ledger: Ledger, now: datetime):
    sell(ledger, "L1", now - timedelta(days=2))
    beats = [open_ledger() for _ in range(4)]
    kept = at_once([lambda it=it: it.end_days(CALENDAR) for it in beats])
    assert sorted(len(days) for days in kept) == [0, 0, 0, 2]  # type: ignore[arg-type]  # nobody failed


def test_days_that_a_clock_ahead_of_its_time_has_ended_are_still_to_come(ledger: Ledger, now: datetime):
    """The database's clock was a week ahead, and was set right."""
    sell(ledger, "L1", now - timedelta(days=1))
    ahead = day_at(now + timedelta(days=3))
    with ledger.engine.begin() as connection:
        values = {"turned_away": 0, "sold": 0, "payout": 0, "done_at": to_ms(now)}
        begins, ends = to_ms(ahead.begins), to_ms(ahead.ends)
        connection.execute(
            resets.insert().values(day=ahead.date.isoformat(), scope=WHOLE, begins=begins, ends=ends, **values)
        )
    assert [reset.day for reset in ledger.end_days(CALENDAR)] == [(CALENDAR.day(now) - timedelta(days=1)).isoformat()]
    assert [reset.day for reset in ledger.last_resets([WHOLE]).values()] == [
        (CALENDAR.day(now) - timedelta(days=1)).isoformat()
    ]


def test_a_gate_whose_day_is_over_is_opened_once_and_its_day_kept(
    open_ledger: Callable[[], Ledger], ledger: Ledger, now: datetime
):
    yesterday = day_at(now - timedelta(days=1))
    sell(ledger, "L1", yesterday.begins + timedelta(hours=1))
    gate = GateRow(CATEGORY, 4000, "Daily Cap reached", to_ms(yesterday.begins), to_ms(yesterday.ends), turned_away=7)
    ledger.close_gate(gate)
    beats = [open_ledger() for _ in range(4)]
    ended = at_once([lambda it=it: it.end_gate(gate, yesterday) for it in beats])
    (reset,) = [it for it in ended if it is not None]
    assert (reset.day, reset.scope, reset.turned_away, reset.takings.sold) == (  # type: ignore[union-attr]  # nobody failed
        yesterday.date.isoformat(),
        CATEGORY,
        7,
        1,
    )
    assert ledger.closed_gates() == []


def test_a_day_that_ends_twice_for_a_gate_keeps_the_later_end_and_all_it_turned_away(ledger: Ledger, now: datetime):
    """An operator has moved the buyer's hour, and the cap was met again on the same day."""
    day = day_at(now - timedelta(days=1))
    for hours, turned_away in ((12, 3), (0, 4)):
        ends = day.ends - timedelta(hours=hours)
        gate = GateRow(CATEGORY, 4000, "Daily Cap reached", to_ms(day.begins), to_ms(ends), turned_away=turned_away)
        ledger.close_gate(gate)
        reset = ledger.end_gate(gate, Day(day.date, day.begins, ends))
        assert reset is not None
    assert (reset.ends_ms, reset.turned_away) == (to_ms(day.ends), 7)
    assert [it.turned_away for it in ledger.unlogged_resets(older_than_ms=-1000)] == [7]


def test_a_day_is_kept_only_when_its_last_sales_are_surely_written_down(ledger: Ledger, now: datetime):
    sell(ledger, "L1", now - timedelta(hours=1))
    assert ledger.end_days(Calendar(ZoneInfo("UTC"), (now - timedelta(seconds=5)).time())) == []
    (day,) = ledger.end_days(Calendar(ZoneInfo("UTC"), (now - timedelta(minutes=10)).time()))
    assert day.takings.sold == 1


def test_a_line_that_a_crash_swallowed_is_found_until_it_is_written(ledger: Ledger, now: datetime):
    sell(ledger, "L1", now - timedelta(days=1))
    kept = ledger.end_days(CALENDAR)
    assert ledger.unlogged_resets(older_than_ms=60_000) == []
    assert ledger.unlogged_resets(older_than_ms=-1000) == kept
    ledger.mark_resets_logged(kept)
    assert ledger.unlogged_resets(older_than_ms=-1000) == []


def test_when_the_buyer_really_sold_again_is_kept_with_the_last_reset(ledger: Ledger, now: datetime):
    for ago in (2, 1):
        day = day_at(now - timedelta(days=ago))
        gate = GateRow(CATEGORY, 4000, "Daily Cap reached", to_ms(day.begins), to_ms(day.ends))
        ledger.close_gate(gate)
        ledger.end_gate(gate, day)
    ledger.sold_again(CATEGORY)
    last = ledger.last_resets([CATEGORY])[CATEGORY]
    assert last.day == (CALENDAR.day(now) - timedelta(days=1)).isoformat()
    assert last.opened_ms is not None
    first = last.opened_ms
    ledger.sold_again(CATEGORY)
    assert ledger.last_resets([CATEGORY])[CATEGORY].opened_ms == first


def test_a_closed_gate_keeps_what_is_to_try_it_until_it_is_closed_for_good(ledger: Ledger):
    """A 4000 that was in flight changes nothing of it; an operator's word does."""
    gate = GateRow(CATEGORY, 4000, "Daily Cap reached", 1, 10**13, heard_ms=1, calendar="c", probe_ms=500)
    assert ledger.close_gate(gate)
    ledger.probed(CATEGORY, 900)
    assert not ledger.close_gate(GateRow(CATEGORY, 4000, "Daily Cap reached", 2, 10**13, heard_ms=2, calendar="c"))
    (kept,) = ledger.closed_gates()
    assert (kept.since_ms, kept.heard_ms, kept.probe_ms, kept.probes) == (1, 2, 900, 1)
    assert ledger.close_gate(GateRow(CATEGORY, None, "closed by an operator", 3, None))
    (kept,) = ledger.closed_gates()
    assert (kept.code, kept.until_ms, kept.heard_ms, kept.probe_ms, kept.probes) == (None, None, None, None, 0)
    with ledger.engine.begin() as connection:
        connection.execute(gates.delete())


def test_a_day_of_the_buyer_s_is_named_by_the_date_on_which_it_began():
    assert day_at(datetime(2026, 7, 1, 3, tzinfo=UTC)).date == date(2026, 6, 30)

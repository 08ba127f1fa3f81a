from __future__ import annotations

from bisect import bisect
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.caps import Calendar, buyer_day, next_reset

ZONES = [
    "America/New_York",
    "America/Sao_Paulo",  # went on from midnight to one o'clock
    "America/St_Johns",  # went back at 00:01, over midnight, and once by two hours
    "America/Havana",  # has its midnight twice
    "Asia/Beirut",  # goes on from midnight to one o'clock
    "Asia/Kolkata",  # half an hour off, no changes
    "Australia/Lord_Howe",  # half an hour off, changes by half an hour
    "Pacific/Apia",  # left a whole day out
]
RESETS = [time(0), time(0, 30), time(1, 30), time(2, 30), time(12), time(23, 30)]
FIRST, LAST = datetime(1985, 1, 1, tzinfo=UTC), datetime(2035, 1, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)

every_zone = pytest.mark.parametrize("zone", [ZoneInfo(name) for name in ZONES], ids=ZONES)
resets = st.sampled_from(RESETS) | st.builds(time, st.integers(0, 23), st.integers(0, 59))
spans = st.timedeltas(timedelta(0), timedelta(days=3))


@lru_cache
def changes(zone: ZoneInfo) -> list[datetime]:
    """Give the moments at which the zone's clocks changed, to the second, and always a leap day."""
    days = [FIRST + timedelta(days=count) for count in range((LAST - FIRST).days)]
    changed = [_change(zone, day) for day in days if _offset(zone, day) != _offset(zone, day + timedelta(days=1))]
    return [*changed, datetime(2028, 2, 29, tzinfo=UTC)]


def _offset(zone: ZoneInfo, at: datetime) -> timedelta | None:
    return at.astimezone(zone).utcoffset()


def _change(zone: ZoneInfo, day: datetime) -> datetime:
    seconds = bisect(
        range(24 * 3600), False, key=lambda s: _offset(zone, day + timedelta(seconds=s)) != _offset(zone, day)
    )
    return day + timedelta(seconds=seconds)


def moments(zone: ZoneInfo) -> st.SearchStrategy[datetime]:
    """Draw any moment, and more often one near a change of the clocks."""
    near = st.builds(
        lambda change, minutes: change + timedelta(minutes=minutes),
        st.sampled_from(changes(zone)),
        st.integers(-3 * 60, 3 * 60) | st.integers(-48 * 60, 48 * 60),
    )
    anywhere = st.datetimes(FIRST.replace(tzinfo=None), LAST.replace(tzinfo=None), timezones=st.just(UTC))
    return near | anywhere


def exists(local: datetime) -> bool:
    """Tell whether the zone's clocks ever showed this local time."""
    return local.astimezone(UTC).astimezone(local.tzinfo).replace(fold=0) == local


@every_zone
@pytest.mark.parametrize("reset", RESETS, ids=str)
def test_around_every_change_of_the_clocks_the_day_goes_on_and_its_end_lies_ahead(zone: ZoneInfo, reset: time) -> None:
    for change in changes(zone):
        around = [change + timedelta(minutes=10 * step) for step in range(-18, 19)]
        days = [buyer_day(now, zone, reset) for now in around]
        assert days == sorted(days)
        assert all(timedelta(0) < next_reset(now, zone, reset) - now <= timedelta(hours=26) for now in around)


@every_zone
@given(st.data(), resets)
def test_the_next_reset_is_after_now_and_at_most_a_long_day_away(
    zone: ZoneInfo, data: st.DataObject, reset: time
) -> None:
    now = data.draw(moments(zone))
    opening = next_reset(now, zone, reset)
    assert opening.tzinfo is UTC
    assert timedelta(0) < opening - now <= timedelta(hours=26)


@every_zone
@given(st.data(), resets, spans)
def test_the_buyer_s_day_never_goes_back(zone: ZoneInfo, data: st.DataObject, reset: time, span: timedelta) -> None:
    now = data.draw(moments(zone))
    assert buyer_day(now, zone, reset) <= buyer_day(now + span, zone, reset)
    assert next_reset(now, zone, reset) <= next_reset(now + span, zone, reset)


@every_zone
@given(st.data(), resets)
def test_a_day_lasts_until_its_reset_and_not_a_tick_longer(zone: ZoneInfo, data: st.DataObject, reset: time) -> None:
    now = data.draw(moments(zone))
    opening = next_reset(now, zone, reset)
    assert buyer_day(opening - TICK, zone, reset) == buyer_day(now, zone, reset) < buyer_day(opening, zone, reset)
    assert next_reset(opening - TICK, zone, reset) == opening < next_reset(opening, zone, reset)


@every_zone
@given(st.data(), resets)
def test_the_buyer_s_clock_shows_the_reset_hour_wherever_it_shows_it_that_day(
    zone: ZoneInfo, data: st.DataObject, reset: time
) -> None:
    now = data.draw(moments(zone))
    shown = next_reset(now, zone, reset).astimezone(zone)
    due = datetime.combine(buyer_day(now, zone, reset) + timedelta(days=1), reset, tzinfo=zone)
    assert shown.replace(tzinfo=None) == due.replace(tzinfo=None) or not exists(due)
    assert shown.fold == 0  # of two such times, the first


@every_zone
@given(st.data(), resets)
def test_the_day_is_the_date_on_the_buyer_s_clock_or_one_beside_it(
    zone: ZoneInfo, data: st.DataObject, reset: time
) -> None:
    now = data.draw(moments(zone))
    ahead = now.astimezone(zone).date() - buyer_day(now, zone, reset)
    assert timedelta(days=-1) <= ahead <= timedelta(days=2)


@every_zone
@given(st.data(), resets, spans)
def test_stretches_cover_a_time_and_are_cut_only_where_a_day_or_the_clocks_change(
    zone: ZoneInfo, data: st.DataObject, reset: time, span: timedelta
) -> None:
    begins = data.draw(moments(zone))
    found = list(Calendar(zone, reset).stretches(begins, begins + span))
    assert [stretch.begins for stretch in found] == [begins, *(stretch.ends for stretch in found[:-1])][: len(found)]
    assert not found or found[-1].ends == begins + span
    for stretch in found:
        for at in (stretch.begins, stretch.ends - TICK):
            assert (buyer_day(at, zone, reset), _offset(zone, at)) == (stretch.date, stretch.offset)
    assert all((left.date, left.offset) != (right.date, right.offset) for left, right in pairwise(found))


@every_zone
def test_around_every_change_of_the_clocks_a_stretch_ends_with_it(zone: ZoneInfo) -> None:
    *changed, _leap_day = changes(zone)
    for change in changed:
        begins, ends = change - timedelta(hours=1, microseconds=7), change + timedelta(minutes=50, microseconds=7)
        assert change in {stretch.ends for stretch in Calendar(zone, time(12)).stretches(begins, ends)}

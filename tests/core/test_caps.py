from __future__ import annotations

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import pytest

from tasks.core.caps import FIRST_PROBE_S, LONGEST_PROBE_S, Calendar, Day, buyer_day, next_reset, probe_after, scope

MIDNIGHT = time(0)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "named"), [("partner", "partner:XYZ"), ("category", "category:16001"), ("subid", "subid:12:3")]
)
def test_a_cap_s_scope_is_named_by_its_kind_and_member(kind: str, named: str) -> None:
    assert scope(kind, partner_id="XYZ", numcategory=16001, subid="12:3") == named


def test_a_scope_of_no_known_kind_is_a_fault_of_ours() -> None:
    with pytest.raises(KeyError, match="planet"):
        scope("planet", partner_id="XYZ", numcategory=16001, subid="123")


@pytest.mark.parametrize(
    ("zone", "reset", "now", "day", "following"),
    [
        pytest.param("America/New_York", MIDNIGHT, "2026-07-01T03:59", "2026-06-30", "2026-07-01T04:00", id="summer"),
        pytest.param("America/New_York", MIDNIGHT, "2026-07-01T04:00", "2026-07-01", "2026-07-02T04:00", id="on-time"),
        pytest.param("America/New_York", MIDNIGHT, "2026-12-31T23:59", "2026-12-31", "2027-01-01T05:00", id="new-year"),
        pytest.param("America/New_York", MIDNIGHT, "2026-03-08T05:00", "2026-03-08", "2026-03-09T04:00", id="23-hours"),
        pytest.param("America/New_York", MIDNIGHT, "2026-11-01T04:00", "2026-11-01", "2026-11-02T05:00", id="25-hours"),
        pytest.param("America/New_York", MIDNIGHT, "2028-02-29T04:59", "2028-02-28", "2028-02-29T05:00", id="to-leap"),
        pytest.param("America/New_York", MIDNIGHT, "2028-02-29T05:00", "2028-02-29", "2028-03-01T05:00", id="off-leap"),
        pytest.param("America/New_York", MIDNIGHT, "2100-02-28T05:00", "2100-02-28", "2100-03-01T05:00", id="no-leap"),
        pytest.param("America/New_York", time(6), "2026-07-01T09:59", "2026-06-30", "2026-07-01T10:00", id="at-six"),
        pytest.param(
            "America/New_York", time(2, 30), "2026-03-08T07:29", "2026-03-07", "2026-03-08T07:30", id="missing-reset"
        ),
        pytest.param(
            "America/New_York", time(1, 30), "2026-11-01T05:29", "2026-10-31", "2026-11-01T05:30", id="first-of-two"
        ),
        pytest.param(
            "America/New_York", time(1, 30), "2026-11-01T06:30", "2026-11-01", "2026-11-02T06:30", id="second-of-two"
        ),
        pytest.param(
            "America/Sao_Paulo", MIDNIGHT, "2018-11-04T02:59", "2018-11-03", "2018-11-04T03:00", id="no-midnight"
        ),
        pytest.param(
            "America/Sao_Paulo", MIDNIGHT, "2018-11-04T03:00", "2018-11-04", "2018-11-05T02:00", id="from-one-o-clock"
        ),
        pytest.param(
            "America/Sao_Paulo", MIDNIGHT, "2018-02-18T02:30", "2018-02-17", "2018-02-18T03:00", id="eleven-twice"
        ),
        pytest.param("Asia/Beirut", MIDNIGHT, "2024-03-30T21:59", "2024-03-30", "2024-03-30T22:00", id="beirut-spring"),
        pytest.param("Asia/Beirut", MIDNIGHT, "2024-10-26T21:30", "2024-10-26", "2024-10-26T22:00", id="beirut-autumn"),
        pytest.param("Asia/Kolkata", MIDNIGHT, "2026-07-01T18:29", "2026-07-01", "2026-07-01T18:30", id="half-hour"),
        pytest.param("Asia/Kathmandu", MIDNIGHT, "2026-07-01T18:15", "2026-07-02", "2026-07-02T18:15", id="quarters"),
        pytest.param(
            "Australia/Lord_Howe", MIDNIGHT, "2026-04-04T13:00", "2026-04-05", "2026-04-05T13:30", id="24-and-a-half"
        ),
        # Until 2011 these clocks went back at 00:01, so that a date began, was taken back, and began again.
        pytest.param(
            "America/St_Johns", MIDNIGHT, "2009-11-01T02:31", "2009-11-01", "2009-11-02T03:30", id="date-taken-back"
        ),
        # The 30th of December 2011 was left out there: two days begin in one moment.
        pytest.param("Pacific/Apia", MIDNIGHT, "2011-12-30T09:59", "2011-12-29", "2011-12-30T10:00", id="skipped-day"),
        pytest.param("Pacific/Apia", MIDNIGHT, "2011-12-30T10:00", "2011-12-31", "2011-12-31T10:00", id="after-it"),
        pytest.param("Pacific/Apia", time(12), "2011-12-30T15:00", "2011-12-29", "2011-12-30T22:00", id="within-it"),
    ],
)
def test_the_buyer_s_day_and_its_end_are_those_of_the_buyer_s_clock(
    zone: str, reset: time, now: str, day: str, following: str
) -> None:
    assert buyer_day(utc(now), ZoneInfo(zone), reset) == date.fromisoformat(day)
    assert next_reset(utc(now), ZoneInfo(zone), reset) == utc(following)


def test_a_reset_is_told_in_utc_whatever_zone_the_question_came_in() -> None:
    tokyo, new_york = ZoneInfo("Asia/Tokyo"), ZoneInfo("America/New_York")
    asked = datetime(2026, 7, 1, 12, 59, tzinfo=tokyo)
    assert next_reset(asked, new_york, MIDNIGHT).isoformat() == "2026-07-01T04:00:00+00:00"


def test_a_time_without_a_zone_is_refused_rather_than_guessed() -> None:
    with pytest.raises(TypeError, match="naive"):
        buyer_day(datetime(2026, 7, 1), ZoneInfo("UTC"), MIDNIGHT)  # noqa: DTZ001 - the point of the test


def test_a_gate_is_tried_after_ever_longer_times_up_to_a_bound() -> None:
    waits = [probe_after(probes) for probes in range(12)]
    assert waits[:3] == [FIRST_PROBE_S, 2 * FIRST_PROBE_S, 4 * FIRST_PROBE_S]
    assert waits == sorted(waits)
    assert waits[-1] == probe_after(10_000) == LONGEST_PROBE_S


NEW_YORK = Calendar(ZoneInfo("America/New_York"), MIDNIGHT)


def test_a_calendar_says_what_its_zone_and_hour_say() -> None:
    now = utc("2026-07-01T03:59")
    assert NEW_YORK.day(now) == date(2026, 6, 30)
    assert NEW_YORK.begins(date(2026, 6, 30)) == utc("2026-06-30T04:00")
    assert NEW_YORK.ends(now) == utc("2026-07-01T04:00")
    assert str(NEW_YORK) == "America/New_York 00:00"


def test_the_days_that_are_over_are_those_before_today_each_once() -> None:
    first, now = utc("2026-06-28T12:00"), utc("2026-07-01T12:00")
    days = list(NEW_YORK.over(None, first, now))
    assert [day.date for day in days] == [date(2026, 6, 28), date(2026, 6, 29), date(2026, 6, 30)]
    assert days[0].begins == utc("2026-06-28T04:00")
    assert days[-1].ends == utc("2026-07-01T04:00")
    assert [day.ends for day in days[:-1]] == [day.begins for day in days[1:]]
    assert list(NEW_YORK.over(days[-1], first, now)) == []
    assert list(NEW_YORK.over(days[0], first, now)) == days[1:]


def test_nothing_falls_between_two_days_where_an_operator_changes_the_zone() -> None:
    """Westward, a day is longer; eastward, shorter; and a zone that has left a day out has none of that date."""
    tokyo, apia = Calendar(ZoneInfo("Asia/Tokyo"), MIDNIGHT), Calendar(ZoneInfo("Pacific/Apia"), MIDNIGHT)
    last = Day(date(2026, 6, 30), utc("2026-06-29T15:00"), utc("2026-06-30T15:00"))
    (west,) = NEW_YORK.over(last, last.begins, utc("2026-07-02T05:00"))
    assert (west.date, west.begins, west.ends) == (date(2026, 7, 1), last.ends, utc("2026-07-02T04:00"))
    (east,) = tokyo.over(west, west.begins, utc("2026-07-02T16:00"))
    assert (east.date, east.begins, east.ends) == (date(2026, 7, 2), west.ends, utc("2026-07-02T15:00"))
    days = list(apia.over(None, utc("2011-12-29T12:00"), utc("2012-01-01T12:00")))
    assert [day.date.day for day in days] == [29, 31, 1]

"""Daily caps: which leads a 4000 stops, until when, and how it is found out that the buyer sells again.

The buyer's day ends at an hour of the buyer's own zone; both are settings, since the buyer's page does not say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

# A reset that came too early is found out by one lead after so long, then twice as long, and so on.
FIRST_PROBE_S = 10.0
LONGEST_PROBE_S = 900.0
LAST_YEAR = 9998  # the end of a later day may lie beyond what a date can hold


def scope(kind: str, *, partner_id: str, numcategory: int, subid: str) -> str:
    """Name the gate that a cap closes: ``partner:XYZ``, ``category:16001`` or ``subid:123``.

    Raises:
        KeyError: `kind` is none of ``partner``, ``category``, ``subid``.
    """
    member = {"partner": partner_id, "category": str(numcategory), "subid": subid}[kind]
    return f"{kind}:{member}"


def probe_after(probes: int) -> float:
    """Give the seconds until the next lead tries a gate that so many have tried in vain."""
    return min(LONGEST_PROBE_S, FIRST_PROBE_S * 2.0 ** min(probes, 16))


def buyer_day(now: datetime, zone: ZoneInfo, reset: time) -> date:
    """Give the buyer's day at `now` (aware). A day is named by the date on which it begins."""
    # From the day ahead: where clocks go back over midnight, the date returns to a day that has already ended.
    day = now.astimezone(zone).date() + timedelta(days=1)
    while now < _begin(day, zone, reset):
        day -= timedelta(days=1)
    return day


def next_reset(now: datetime, zone: ZoneInfo, reset: time) -> datetime:
    """Give the moment, in UTC and always after `now`, at which the buyer's next day begins."""
    return _begin(buyer_day(now, zone, reset) + timedelta(days=1), zone, reset)


def _begin(day: date, zone: ZoneInfo, reset: time) -> datetime:
    # A time that a clock change skips comes later by as much as the clocks moved; a repeated one counts the first time.
    return datetime.combine(day, reset, tzinfo=zone).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Day:
    """One of the buyer's days that is over. `begins` and `ends` are aware, in UTC, and `ends` is no part of it."""

    date: date
    begins: datetime
    ends: datetime


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of one of the buyer's days, of a day as a whole where no clock changes in it. `offset`: ahead of UTC."""

    date: date
    begins: datetime
    ends: datetime
    offset: timedelta


@dataclass(frozen=True, slots=True)
class Calendar:
    """The buyer's days: from `reset` to `reset` on the clocks of `zone`, 23 or 25 hours long where these change."""

    zone: ZoneInfo
    reset: time

    def day(self, now: datetime) -> date:
        """Give the day at `now` (`buyer_day`)."""
        return buyer_day(now, self.zone, self.reset)

    def begins(self, day: date) -> datetime:
        """Give the moment, in UTC, at which a day begins."""
        return _begin(day, self.zone, self.reset)

    def ends(self, now: datetime) -> datetime:
        """Give the moment, in UTC, at which the day of `now` ends (`next_reset`)."""
        return next_reset(now, self.zone, self.reset)

    def over(self, last: Day | None, first: datetime, now: datetime) -> Iterator[Day]:
        """Give the days that have ended since `last`, each once and in order, up to the one before today's.

        Where there is no `last`, the day of `first` (the first lead) is the first. Each begins where the one before it
        ended, so that nothing falls between two days though an operator has changed the zone or the hour.
        """
        day = last.date + timedelta(days=1) if last else self.day(first)
        begins = last.ends if last else self.begins(day)
        while day < self.day(now):
            ends = self.begins(day + timedelta(days=1))
            if ends > begins:
                yield Day(day, begins, ends)
                begins = ends
            day += timedelta(days=1)

    def stretches(self, begins: datetime, ends: datetime) -> Iterator[Stretch]:
        """Cut a stretch of time, `ends` not in it, where the buyer's days begin and where the buyer's clocks change."""
        while begins < ends:
            cut = _change(begins, min(self.ends(begins), ends), self.zone)
            yield Stretch(self.day(begins), begins, cut, _offset(begins, self.zone))
            begins = cut

    def __str__(self) -> str:
        return f"{self.zone.key} {self.reset:%H:%M}"


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def _change(begins: datetime, ends: datetime, zone: ZoneInfo) -> datetime:
    """Give the moment at which the clocks change first; `ends` where they do not. No zone changes them twice a day."""
    before = _offset(begins, zone)
    if _offset(ends - timedelta(microseconds=1), zone) == before:
        return ends
    early, late = int(begins.timestamp()), int(ends.timestamp())
    while late - early > 1:  # clocks change on whole seconds
        middle = (early + late) // 2
        changed = _offset(datetime.fromtimestamp(middle, UTC), zone) != before
        early, late = (early, middle) if changed else (middle, late)
    return datetime.fromtimestamp(late, UTC)

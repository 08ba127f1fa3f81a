"""Daily caps: which leads a 4000 stops, and until when.

The buyer's day ends at an hour of the buyer's own zone; both are settings, since the buyer's page does not say.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


def scope(kind: str, *, partner_id: str, numcategory: int, subid: str) -> str:
    """Name the gate that a cap closes: ``partner:XYZ``, ``category:16001`` or ``subid:123``.

    Raises:
        KeyError: `kind` is none of ``partner``, ``category``, ``subid``.
    """
    member = {"partner": partner_id, "category": str(numcategory), "subid": subid}[kind]
    return f"{kind}:{member}"


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

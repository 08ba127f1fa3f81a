"""Payouts by the buyer's day, category and sub source: what a statement of the buyer's is held against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import CTE, BigInteger, ColumnElement, Connection, and_, case, column, func, or_, select, values

from tasks.core.caps import buyer_day, next_reset
from tasks.core.outcome import Status
from tasks.core.protocol import Call
from tasks.ledger.rows import from_ms, to_ms
from tasks.ledger.schema import leads

# Days in one statement: SQLite takes 32766 variables, and a day is three.
_DAYS_AT_ONCE = 5000


@dataclass(frozen=True, slots=True)
class PayoutRow:
    """What one sub source brought in one category on one of the buyer's days. Amounts are exact dollars.

    `counts` are live leads by status, `tests` those of test mode, which count into nothing else. `payout` takes the
    confirmed price of each sale, else the quoted one. `possible` counts leads that the buyer may have counted as sold
    and we do not (`unknown`, or sold under the floor), at `possible_payout`.
    """

    day: date
    numcategory: int
    subid: str
    counts: Mapping[Status, int]
    tests: Mapping[Status, int]
    sold: int
    quoted: Decimal
    confirmed: Decimal
    payout: Decimal
    possible: int
    possible_payout: Decimal


def payouts(connection: Connection, zone: ZoneInfo, reset: time, since_ms: int, until_ms: int) -> list[PayoutRow]:
    """Add up the leads that ended in [since_ms, until_ms), by the day of their end.

    A day is the buyer's: from `reset` to `reset` in `zone`, 23 or 25 hours long where clocks change. Ordered by day,
    category and sub source; days, categories and sub sources without an ended lead are absent.
    """
    days = list(_days(zone, reset, since_ms, until_ms))
    groups: dict[tuple[date, int, str], list[Any]] = {}
    for first in range(0, len(days), _DAYS_AT_ONCE):
        for row in connection.execute(_totals(days[first : first + _DAYS_AT_ONCE])):
            groups.setdefault((days[row.place][0], row.numcategory, row.subid), []).append(row)
    return [_payout_row(*group, groups[group]) for group in sorted(groups)]


def _days(zone: ZoneInfo, reset: time, since_ms: int, until_ms: int) -> Iterator[tuple[date, int, int, int]]:
    """Cut a stretch of time at the buyer's midnights: the day, its place from 0, its first and its last millisecond."""
    place, begin = 0, since_ms
    while begin < until_ms:
        now = datetime.fromtimestamp(begin / 1000, UTC)
        end = min(to_ms(next_reset(now, zone, reset)), until_ms)
        yield buyer_day(from_ms(begin), zone, reset), place, begin, end
        place, begin = place + 1, end


def quoted() -> ColumnElement[int]:
    """Give a lead's quoted price: its bid's, or the agreed one of a direct post."""
    agreed = case((leads.c.call == Call.DIRECT_POST.value, leads.c.offered_price))
    return func.coalesce(leads.c.price_quoted, agreed)


def paid() -> ColumnElement[int]:
    """Give what a sold lead is paid with: the confirmed price, else the quoted one."""
    return func.coalesce(leads.c.price_confirmed, quoted())


def _totals(days: list[tuple[date, int, int, int]]) -> Any:
    calendar = _calendar(days)
    live = leads.c.test.is_(False)
    sold = and_(live, leads.c.status == Status.SOLD.value)
    possible = and_(
        live,
        or_(
            leads.c.status == Status.UNKNOWN.value,
            and_(leads.c.status != Status.SOLD.value, leads.c.price_confirmed.is_not(None)),
        ),
    )
    keys = (calendar.c.place, leads.c.numcategory, leads.c.subid, leads.c.test, leads.c.status)
    return (
        select(
            *keys,
            func.count().label("number"),
            _sum(sold, quoted()).label("quoted"),
            _sum(sold, leads.c.price_confirmed).label("confirmed"),
            _sum(sold, paid()).label("payout"),
            func.sum(case((possible, 1), else_=0)).label("possible"),
            _sum(possible, paid()).label("possible_payout"),
        )
        .join(calendar, and_(leads.c.ended_at >= calendar.c.begins, leads.c.ended_at < calendar.c.ends))
        .where(leads.c.status.is_not(None))
        .group_by(*keys)
    )


def _calendar(days: list[tuple[date, int, int, int]]) -> CTE:
    columns = (column("place", BigInteger), column("begins", BigInteger), column("ends", BigInteger))
    return values(*columns, name="days").data([day[1:] for day in days]).cte("calendar")


def _sum(condition: ColumnElement[bool], amount: Any) -> ColumnElement[int]:
    return func.sum(case((condition, func.coalesce(amount, 0)), else_=0))


def _payout_row(day: date, numcategory: int, subid: str, rows: list[Any]) -> PayoutRow:
    counts = {Status(row.status): int(row.number) for row in rows if not row.test}
    return PayoutRow(
        day=day,
        numcategory=numcategory,
        subid=subid,
        counts=counts,
        tests={Status(row.status): int(row.number) for row in rows if row.test},
        sold=counts.get(Status.SOLD, 0),
        quoted=_dollars(row.quoted for row in rows),
        confirmed=_dollars(row.confirmed for row in rows),
        payout=_dollars(row.payout for row in rows),
        possible=sum(int(row.possible) for row in rows),
        possible_payout=_dollars(row.possible_payout for row in rows),
    )


def _dollars(micros: Iterator[Any]) -> Decimal:
    return Decimal(sum(map(int, micros))).scaleb(-6)

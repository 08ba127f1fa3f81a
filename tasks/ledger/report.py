"""What leads brought, by the buyer's day and hour, category, sub source and call: what a statement is held against.

The database does the sums: what comes back is one row a group, status and mode.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from itertools import groupby
from typing import Any, Final

from sqlalchemy import CTE, BigInteger, ColumnElement, Connection, Select, and_, case, column, func, select, values

from tasks.core.caps import Calendar, Stretch
from tasks.core.outcome import Status
from tasks.core.payout import Standing
from tasks.core.protocol import Call
from tasks.core.tally import Tally, total
from tasks.ledger.rows import to_ms
from tasks.ledger.schema import attempts, call_reports, leads

# In one statement: SQLite takes 32766 variables, and a stretch of time is four.
_AT_ONCE: Final = 5000
_HOUR_MS: Final = 3_600_000
_REPORTED: Final = (Standing.DUE, Standing.LOST)


class By(StrEnum):
    """What leads are grouped by. Days are the buyer's, hours those of the buyer's clocks, a call is a lead's first."""

    DAY = "day"
    HOUR = "hour"
    CATEGORY = "category"
    SUBID = "subid"
    CALL = "call"


Member = date | int | str
Report = dict[tuple[Member, ...], Tally]


@dataclass(frozen=True, slots=True)
class Span:
    """Days of the buyer's, the last among them, each from reset to reset: 23 or 25 hours where clocks change."""

    calendar: Calendar
    first: date
    last: date

    @property
    def days(self) -> list[date]:
        """Each day, also one in which no lead ended."""
        return [self.first + timedelta(days=number) for number in range((self.last - self.first).days + 1)]

    def stretches(self) -> Iterator[Stretch]:
        """Cut it into days, and these where the buyer's clocks change."""
        begins, ends = (self.calendar.begins(day) for day in (self.first, self.last + timedelta(days=1)))
        return self.calendar.stretches(begins, ends)


def report(connection: Connection, span: Span, by: Sequence[By]) -> Report:
    """Add up the leads that ended in these days, in groups that have the same day, category, … (`by`, each once).

    Ordered by these, in their order. A group without an ended lead is absent.
    """
    found: dict[tuple[Member, ...], list[Tally]] = {}
    stretches = list(_stretches(span, by))
    for first in range(0, len(stretches), _AT_ONCE):
        for row in connection.execute(_totals(stretches[first : first + _AT_ONCE], first, by)):
            group = tuple(stretches[row.day].date if each is By.DAY else getattr(row, each.value) for each in by)
            found.setdefault(group, []).append(_tally(row))
    return {group: total(found[group]) for group in sorted(found)}


def _stretches(span: Span, by: Sequence[By]) -> Iterator[Stretch]:
    """Give as few stretches of time as will do: days matter only where they are asked for, clocks only for hours."""
    if By.DAY in by:
        yield from span.stretches()
        return
    for _, same in groupby(span.stretches(), lambda stretch: stretch.offset if By.HOUR in by else None):
        first, *others = same
        yield Stretch(first.date, first.begins, others[-1].ends if others else first.ends, first.offset)


def quoted() -> ColumnElement[int]:
    """Give a lead's quoted price: its bid's, or the agreed one of a direct post."""
    agreed = case((leads.c.call == Call.DIRECT_POST.value, leads.c.offered_price))
    return func.coalesce(leads.c.price_quoted, agreed)


def paid() -> ColumnElement[int]:
    """Give what a sold lead is paid with: the confirmed price, else the quoted one."""
    return func.coalesce(leads.c.price_confirmed, quoted())


def _totals(stretches: Sequence[Stretch], place: int, by: Sequence[By]) -> Select[Any]:
    calendar = _calendar(stretches, place)
    columns: dict[By, ColumnElement[Any]] = {
        By.DAY: calendar.c.place,
        By.HOUR: (leads.c.ended_at + calendar.c.ahead) // _HOUR_MS % 24,
        By.CATEGORY: leads.c.numcategory,
        By.SUBID: leads.c.subid,
        By.CALL: leads.c.call,
    }
    keys = [columns[each].label(each.value) for each in by]
    reported = and_(call_reports.c.lead_id == leads.c.lead_id, call_reports.c.counts.is_(True))
    return (
        select(
            *keys,
            leads.c.test,
            leads.c.status,
            func.count().label("number"),
            func.sum(leads.c.pings).label("pings"),
            _number(leads.c.pings > 0).label("pinged"),
            _number(_answered()).label("answered"),
            func.count(leads.c.price_quoted).label("bids"),
            _sum(leads.c.price_quoted).label("bid_total"),
            func.sum(leads.c.posts).label("posts"),
            _number(leads.c.posts > 0).label("posted"),
            _sum(quoted()).label("quoted"),
            func.count(leads.c.price_confirmed).label("confirmations"),
            _sum(leads.c.price_confirmed).label("confirmed"),
            _sum(leads.c.price_confirmed - quoted()).label("difference"),
            _sum(paid()).label("paid"),
            *(_sum(case((call_reports.c.standing == each.value, paid()))).label(each.value) for each in _REPORTED),
        )
        .join(calendar, and_(leads.c.ended_at >= calendar.c.begins, leads.c.ended_at < calendar.c.ends))
        .outerjoin(call_reports, reported)
        .where(leads.c.status.is_not(None))
        .group_by(*(each.value for each in by), leads.c.test, leads.c.status)
    )


def _calendar(stretches: Sequence[Stretch], place: int) -> CTE:
    columns = [column(name, BigInteger) for name in ("place", "begins", "ends", "ahead")]
    rows = [
        (number, to_ms(each.begins), to_ms(each.ends), each.offset // timedelta(milliseconds=1))
        for number, each in enumerate(stretches, place)
    ]
    return values(*columns, name="stretches").data(rows).cte("calendar")


def _answered() -> ColumnElement[bool]:
    """Whether the buyer answered a lead's ping with a bid or a no.

    A lead that a closed gate turned away has the gate's code and may have been pinged before, in vain: only an attempt
    shows that the code is the answer to its own ping. Such leads are few, and nothing else asks for attempts.
    """
    own = and_(
        attempts.c.lead_id == leads.c.lead_id,
        attempts.c.call == Call.PING.value,
        attempts.c.code == leads.c.code,
    )
    told = select(func.count()).select_from(attempts).where(own).correlate(leads).scalar_subquery()
    by_a_gate = leads.c.status.in_([Status.CAPPED.value, Status.BLOCKED.value])
    return case(
        (leads.c.price_quoted.is_not(None), True),
        (leads.c.pings == 0, False),
        (leads.c.status == Status.REJECTED.value, True),
        (by_a_gate, told > 0),
        else_=False,
    )


def _number(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


def _sum(amount: ColumnElement[Any]) -> ColumnElement[int]:
    return func.coalesce(func.sum(amount), 0)


def _tally(row: Any) -> Tally:
    """Count a row of one status: what an amount means hangs on that."""
    status, number = Status(row.status), int(row.number)
    if row.test:
        return Tally(tests={status: number})
    sold, unknown = status is Status.SOLD, status is Status.UNKNOWN
    possible = number if unknown else 0 if sold else int(row.confirmations)
    possible_payout = row.paid if unknown else 0 if sold else row.confirmed
    return Tally(
        counts={status: number},
        pings=int(row.pings),
        pinged=int(row.pinged),
        answered=int(row.answered),
        bids=int(row.bids),
        bid_total=int(row.bid_total),
        posts=int(row.posts),
        posted=int(row.posted),
        quoted=int(row.quoted) if sold else 0,
        confirmed=int(row.confirmed) if sold else 0,
        difference=int(row.difference) if sold else 0,
        unconfirmed=number - int(row.confirmations) if sold else 0,
        payout=int(row.paid) if sold else 0,
        due=int(row.due),
        lost=int(row.lost),
        possible=possible,
        possible_payout=int(possible_payout),
    )

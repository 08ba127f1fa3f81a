"""One statement held against one ledger: which days, which leads, what differs, and what is settled by it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from tasks.core.caps import LAST_YEAR, Calendar
from tasks.core.reconciliation import Claim, Comparison, Entry, Finding, Row, Settlement, compare, settle
from tasks.ledger import Ledger, closures, settlements
from tasks.ledger.rows import from_ms, to_ms

# The buyer's clock and ours part by less: nearer to midnight than that, a sale may stand on the next day's statement.
EDGE: Final = timedelta(minutes=1)


class BadPeriod(ValueError):
    """Days that are none. The text says which."""


@dataclass(frozen=True, slots=True)
class Days:
    """What the operator asked for, in the buyer's days, both included; None: as the statement has it."""

    since: date | None
    until: date | None

    @property
    def vouched(self) -> bool:
        """Whether the operator says that the statement has all sales of these days."""
        return self.since is not None and self.until is not None


@dataclass(frozen=True, slots=True)
class Period:
    """The buyer's days that are compared. `ends` is no part of it; `over` says that the last of them has ended."""

    since: date
    until: date
    begins: datetime
    ends: datetime
    over: bool


@dataclass(frozen=True, slots=True)
class Books:
    """Both sides, ready to be compared. `period` is None where nothing tells which days they are of."""

    period: Period | None
    rows: Sequence[Row]
    entries: Sequence[Entry]


@dataclass(frozen=True, slots=True)
class Settled:
    """How many unknown leads were newly settled."""

    sold: int = 0
    not_sold: int = 0


def read_books(connection: Connection, rows: Sequence[Row], days: Days, calendar: Calendar) -> Books:
    """Read the leads that a statement names, and those of its period.

    Raises:
        BadPeriod: the first day is after the last.
    """
    tokens = (row.token for row in rows if row.token)
    named = settlements.named(connection, tokens, (row.customid for row in rows if row.customid))
    period = _period(days, rows, named, calendar, from_ms(closures.now(connection)))
    if period is None:
        return Books(None, rows, [replace(entry, in_period=False) for entry in _in_order(named)])
    ended = settlements.ended(connection, to_ms(period.begins), to_ms(period.ends))
    entries = {entry.lead_id: entry for entry in (*ended, *named)}
    return Books(period, _placed(rows, period), [_in(entry, period) for entry in _in_order(entries.values())])


def held_against(books: Books) -> Comparison:
    """Compare; a lead that is missing near the period's edge says so."""
    comparison = compare(books.rows, books.entries)
    return replace(comparison, findings=tuple(_at_the_edge(it, books.period) for it in comparison.findings))


def settle_by(ledger: Ledger, comparison: Comparison, books: Books, days: Days, statement: str) -> Settled:
    """Write down what a statement says of unknown leads. `statement` is what it is called."""
    period = books.period
    covered = (period.begins + EDGE, period.ends - EDGE) if period and period.over and days.vouched else None
    found = settle(comparison, covered)
    numbers = []
    for sold in (True, False):
        said = [settlement for settlement in found if settlement.sold is sold]
        portions = (said[first : first + settlements.AT_ONCE] for first in range(0, len(said), settlements.AT_ONCE))
        numbers.append(sum(_write(ledger, portion, statement) for portion in portions))
    return Settled(*numbers)


def _write(ledger: Ledger, portion: Sequence[Settlement], statement: str) -> int:
    return ledger.write(lambda connection: settlements.settle(connection, portion, statement))


def _in_order(entries: Iterable[Entry]) -> list[Entry]:
    """Order leads, so that of those that a row may mean each time the same is taken."""
    return sorted(entries, key=lambda entry: (entry.received_at, entry.lead_id))


def _period(
    days: Days, rows: Iterable[Row], named: Iterable[Entry], calendar: Calendar, now: datetime
) -> Period | None:
    told = [row.day for row in rows if row.day]
    if not told:  # a statement without dates is of the days of its leads
        told = [calendar.day(entry.ended_at) for entry in named if entry.ended_at and entry.claim is not Claim.NONE]
    since, until = days.since or min(told, default=None), days.until or max(told, default=None)
    if since is None or until is None:
        return None
    if since > until:
        raise BadPeriod(f"{since} is after {until}")
    if until.year > LAST_YEAR:
        raise BadPeriod(f"{until} is too late a day")
    ends = calendar.begins(until + timedelta(days=1))
    return Period(since, until, calendar.begins(since), ends, over=ends <= now)


def _placed(rows: Iterable[Row], period: Period) -> list[Row]:
    return [
        row if row.day is None or period.since <= row.day <= period.until else replace(row, in_period=False)
        for row in rows
    ]


def _in(entry: Entry, period: Period) -> Entry:
    inside = entry.ended_at is not None and period.begins <= entry.ended_at < period.ends
    return entry if inside else replace(entry, in_period=False)


def _at_the_edge(finding: Finding, period: Period | None) -> Finding:
    entry = finding.entry
    if finding.row or period is None or entry is None or entry.ended_at is None:
        return finding
    if period.begins + EDGE <= entry.ended_at <= period.ends - EDGE:
        return finding
    words = "within a minute of the period's edge: look at the statement of the day beside it"
    return replace(finding, detail=f"{finding.detail}; {words}".removeprefix("; "))

"""The columns of a report, each said once: how it is called, reckoned and written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from tasks.core.money import MICROS, dollars
from tasks.core.outcome import Status
from tasks.core.tally import Tally
from tasks.ledger.report import By, Member
from workers.report.words import NOTHING, amount, rate

# What the members of a group are called in CSV and JSON.
KEYS: Final = {By.DAY: "day", By.HOUR: "hour", By.CATEGORY: "numcategory", By.SUBID: "subid", By.CALL: "call"}


class Unit(StrEnum):
    """What a value counts: things, micro-dollars in all or on average, or parts of a whole."""

    NUMBER = "number"
    DOLLARS = "dollars"
    AVERAGE = "average"
    RATE = "rate"


@dataclass(frozen=True, slots=True)
class Measure:
    """A column. Its name stands in CSV and JSON, its title over a table.

    `dispensable`: the higher, the sooner a terminal that is too narrow goes without it; 0 is always shown.
    """

    name: str
    title: str
    of: Callable[[Tally], int | float | None]
    dispensable: int
    unit: Unit = Unit.NUMBER

    def plain(self, tally: Tally) -> int | float | str | None:
        """Give the value for programs: amounts as exact decimal strings of dollars, rates from 0 to 1."""
        value = self.of(tally)
        if value is None or self.unit is Unit.NUMBER:
            return value
        return round(value, 4) if self.unit is Unit.RATE else dollars(int(value))

    def shown(self, tally: Tally) -> str:
        """Write the value for people: sums exactly, averages to the cent, rates in percent."""
        value = self.of(tally)
        if value is None:
            return NOTHING
        match self.unit:
            case Unit.NUMBER:
                return f"{value:,}"
            case Unit.DOLLARS:
                return amount(int(value))
            case Unit.AVERAGE:
                return f"{Decimal(value) / MICROS:,.2f}"
            case Unit.RATE:
                return rate(value)


def _of(status: Status, dispensable: int) -> Measure:
    return Measure(status.value, status.value, lambda tally: tally.counts.get(status, 0), dispensable)


MEASURES: Final = (
    Measure("leads", "leads", lambda tally: tally.leads, 0),
    Measure("pings", "pings", lambda tally: tally.pings, 12),
    Measure("answered", "answered", lambda tally: tally.answered, 15),
    Measure("bids", "bids", lambda tally: tally.bids, 5),
    Measure("accept_rate", "accept", lambda tally: tally.accept_rate, 1, Unit.RATE),
    Measure("average_bid", "avg bid", lambda tally: tally.average_bid, 3, Unit.AVERAGE),
    Measure("posts", "posts", lambda tally: tally.posts, 14),
    _of(Status.SOLD, 0),
    _of(Status.REJECTED, 8),
    _of(Status.CAPPED, 8),
    _of(Status.EXPIRED, 9),
    _of(Status.INVALID, 16),
    _of(Status.BLOCKED, 10),
    _of(Status.UNKNOWN, 7),
    _of(Status.FAILED, 11),
    Measure("price_quoted", "quoted", lambda tally: tally.quoted, 6, Unit.DOLLARS),
    Measure("price_confirmed", "confirmed", lambda tally: tally.confirmed, 4, Unit.DOLLARS),
    Measure("price_difference", "difference", lambda tally: tally.difference, 5, Unit.DOLLARS),
    Measure("unconfirmed", "unconfirmed", lambda tally: tally.unconfirmed, 13),
    Measure("payout", "payout", lambda tally: tally.payout, 0, Unit.DOLLARS),
    Measure("due", "due", lambda tally: tally.due, 1, Unit.DOLLARS),
    Measure("lost", "lost", lambda tally: tally.lost, 2, Unit.DOLLARS),
    Measure("possible", "possible", lambda tally: tally.possible, 2),
    Measure("possible_payout", "possible $", lambda tally: tally.possible_payout, 6, Unit.DOLLARS),
    Measure("tests", "tests", lambda tally: tally.tested, 9),
)
_NAMED: Final = {measure.name: measure for measure in MEASURES}
_APART: Final = frozenset({*map(str, Status), "tests"}) - {Status.SOLD}  # in JSON they stand in objects of their own


def as_object(by: Sequence[By], group: tuple[Member, ...], tally: Tally) -> dict[str, Any]:
    """Give a group for scripts (`Measure.plain`); a measure that there is none of is null."""
    return {
        **{KEYS[each]: plain_member(member) for each, member in zip(by, group, strict=True)},
        **{measure.name: measure.plain(tally) for measure in MEASURES if measure.name not in _APART},
        "counts": {status.value: number for status, number in tally.counts.items()},
        "tests": {status.value: number for status, number in tally.tests.items()},
    }


def cells(tally: Tally, *names: str) -> tuple[str, ...]:
    """Write these measures for people."""
    return tuple(_NAMED[name].shown(tally) for name in names)


def members(by: Sequence[By], group: tuple[Member, ...]) -> Iterator[str]:
    """Write a group's members for people."""
    for each, member in zip(by, group, strict=True):
        yield f"{member:02}:00" if each is By.HOUR else str(plain_member(member))


def plain_member(member: Member) -> int | str:
    """Give a member for programs: a day as ``2026-11-17``."""
    return member.isoformat() if isinstance(member, date) else member

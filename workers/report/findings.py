"""What the page tells, as the ledger has it: three readings of one moment, and what is folded from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Final, cast

from sqlalchemy import Connection

from tasks.core.tally import Tally, total
from tasks.ledger.report import By, Member, Report, Span, report

MOST_DAYS: Final = 122
MOST_WEEKS: Final = 130


class Pace(StrEnum):
    """What a step of a plot is: more bars than a screen has room for are no picture."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"

    @classmethod
    def fitting(cls, days: int) -> Pace:
        """Give the pace for so many days."""
        return cls.DAY if days <= MOST_DAYS else cls.WEEK if days <= MOST_WEEKS * 7 else cls.MONTH

    def start(self, day: date) -> date:
        """Give the first day of the step in which a day is: weeks begin on Mondays."""
        match self:
            case Pace.DAY:
                return day
            case Pace.WEEK:
                return day - timedelta(days=day.weekday())
            case Pace.MONTH:
                return day.replace(day=1)


@dataclass(frozen=True, slots=True)
class Step:
    """A day of the buyer's, or those of a week or month, with what they brought by category."""

    first: date
    pace: Pace
    categories: Report

    @property
    def tally(self) -> Tally:
        """All of it."""
        return total(self.categories.values())

    @property
    def name(self) -> str:
        """What it is called in a table: ``2026-11-17``, or ``2026-11``."""
        return f"{self.first:%Y-%m}" if self.pace is Pace.MONTH else self.first.isoformat()

    @property
    def label(self) -> str:
        """What stands under a plot: ``Nov 17``, or ``Nov 2026``."""
        return f"{self.first:%b %Y}" if self.pace is Pace.MONTH else f"{self.first:%b} {self.first.day}"

    @property
    def words(self) -> str:
        """What it is called in a sentence: ``Tue 2026-11-17``, ``week from 2026-11-16``, ``November 2026``."""
        match self.pace:
            case Pace.DAY:
                return f"{self.first:%a} {self.first.isoformat()}"
            case Pace.WEEK:
                return f"week from {self.first.isoformat()}"
            case Pace.MONTH:
                return f"{self.first:%B %Y}"


@dataclass(frozen=True, slots=True)
class Findings:
    """A span of the buyer's days and what was found in it. `names` are those of the catalogue's categories."""

    span: Span
    steps: tuple[Step, ...]  # in order, without a gap
    categories: Report
    calls: Report
    hours: Report
    sources: Report
    names: Mapping[int, str]

    @property
    def whole(self) -> Tally:
        """All of it."""
        return total(self.categories.values())

    @property
    def pace(self) -> Pace:
        """What a step is."""
        return self.steps[0].pace

    def clock(self) -> Iterator[tuple[int, Tally]]:
        """Give the hours of the buyer's day in their order, from that of its reset on."""
        for number in range(24):
            hour = (self.span.calendar.reset.hour + number) % 24
            yield hour, self.hours.get((hour,), Tally())

    def category(self, member: Member) -> str:
        """Name a category: ``16001 Auto Accidents``, or its number alone where the catalogue has no name."""
        return f"{member} {self.names.get(int(str(member)), '')}".strip()


def read(connection: Connection, span: Span, names: Mapping[int, str]) -> Findings:
    """Ask the ledger for everything that the page tells."""
    daily = report(connection, span, (By.DAY, By.CATEGORY, By.CALL))
    return Findings(
        span,
        steps=tuple(_steps(span.days, daily)),
        categories=_folded(daily, 1),
        calls=_folded(daily, 2),
        hours=report(connection, span, (By.HOUR,)),
        sources=report(connection, span, (By.SUBID,)),
        names=names,
    )


def best_first(groups: Report) -> Sequence[tuple[tuple[Member, ...], Tally]]:
    """Order groups by their payout, then by their leads, then by their names."""
    return sorted(groups.items(), key=lambda each: (-each[1].payout, -each[1].leads, each[0]))


def _steps(days: Sequence[date], daily: Report) -> Iterator[Step]:
    pace = Pace.fitting(len(days))
    found: dict[date, Report] = {pace.start(day): {} for day in days}
    for group, tally in daily.items():
        found[pace.start(cast("date", group[0]))][group] = tally
    for first, groups in found.items():
        # A span need not begin where a week or month does.
        yield Step(max(first, days[0]), pace, _folded(groups, 1))


def _folded(groups: Report, place: int) -> Report:
    """Add up the groups that are the same at this place of their names."""
    found: dict[Member, list[Tally]] = {}
    for group, tally in groups.items():
        found.setdefault(group[place], []).append(tally)
    return {(member,): total(tallies) for member, tallies in found.items()}

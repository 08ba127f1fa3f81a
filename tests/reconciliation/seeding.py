"""Leads with known calls, and the buyer's statement of them with known faults.

Every case says how the ledger has a lead, what upstream told of its call, how the statement lists it, and which
differences that is. What agrees stands beside what does not, in every way in which it can.
"""

from __future__ import annotations

import csv
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from tasks.core.callreport import CallReport
from tasks.core.money import Money
from tasks.ledger import Ledger
from tests.ledger.books import ended, put

ZONE: Final = ZoneInfo("America/New_York")
FIRST: Final = datetime(2024, 10, 30, tzinfo=ZONE)  # the clocks go back on 3 November
DAYS: Final = 7
MINIMUM_S: Final = 60
GOOD: Final = (10, 75_000)
LATE: Final = (31, 75_000)
SHORT: Final = (10, 59_999)
NEVER: Final = (None, 0)


@dataclass(frozen=True)
class Case:
    """`calls`: each report's seconds after the sale, and its milliseconds. `listed`: prices, None being the lead's."""

    status: str = "sold"
    calls: Sequence[tuple[int | None, int]] = ()
    listed: Sequence[str | None] = ()
    faults: Sequence[str] = ()
    columns: dict[str, Any] = field(default_factory=dict)
    leads: int = 1


WITHHELD: Final = {"price_confirmed": 1_000_000}
AGREE: Final = [
    *[Case(calls=[GOOD], listed=[None])] * 12,
    Case(listed=[None]),
    Case(calls=[LATE, GOOD], listed=[None]),
    Case(calls=[GOOD, SHORT]),
    *(Case(calls=[call]) for call in (LATE, SHORT, NEVER)),
    Case(calls=[SHORT], listed=["0.00"]),
    Case("unknown"),
    Case("rejected", columns=WITHHELD),
    Case("rejected", columns=WITHHELD, listed=["0"]),
    *(Case(status) for status in ("rejected", "capped", "expired", "blocked", "failed")),
    Case(columns={"test": True}),
    Case(columns={"price_confirmed": 11_250_000}, calls=[GOOD], listed=["11.25"]),
    Case(calls=[GOOD], listed=[None, None], leads=2),
]
WRONG: Final = [
    Case(leads=0, listed=["9.99"], faults=["missing_in_ledger"]),
    Case("expired", listed=["9.99"], faults=["missing_in_ledger"]),
    Case(columns={"test": True}, listed=[None], faults=["missing_in_ledger"]),
    Case(faults=["missing_in_statement"]),
    Case(calls=[GOOD], listed=["12.51"], faults=["other_price"]),
    Case(listed=["0.01"], faults=["other_price"]),
    Case(calls=[GOOD], listed=[None, None], faults=["double_in_statement"]),
    Case(listed=[None, "3.00", None], faults=["double_in_statement"] * 2),
    Case(leads=0, listed=["5", "5"], faults=["missing_in_ledger", "double_in_statement"]),
    Case(calls=[GOOD], listed=[None], leads=2, faults=["double_in_ledger"]),
    Case("unknown", listed=[None], faults=["unknown_sold"]),
    Case("unknown", listed=["8.00", "8.00"], faults=["unknown_sold", "double_in_statement"]),
    Case("rejected", columns=WITHHELD, listed=["1.00"], faults=["withheld_sold"]),
    *(Case(calls=[call], listed=[None], faults=["lost_paid"]) for call in (LATE, SHORT, NEVER)),
    Case(calls=[GOOD, SHORT], listed=[None], faults=["lost_paid"]),
    Case(calls=[GOOD], faults=["due_unpaid"]),
    Case(calls=[SHORT, GOOD], faults=["due_unpaid"]),
    Case(calls=[GOOD], listed=["0"], faults=["due_unpaid"]),
]


@dataclass
class Seeded:
    """What was written. `faults` has each by its kind and its story; `whose` has the stories of lines."""

    leads: int = 0
    faults: Counter[tuple[str, int]] = field(default_factory=Counter)
    whose: dict[int, int] = field(default_factory=dict)
    settled_sold: int = 0
    settled_not_sold: int = 0

    def found(self, findings: Iterable[dict[str, Any]]) -> Counter[tuple[str, int]]:
        """Say which faults a command found, in the same form."""
        return Counter(
            (one["kind"], self.whose[one["line"]] if one["line"] else int(one["lead_id"].partition(".")[0]))
            for one in findings
        )


def seed(ledger: Ledger, statement: Path, *, leads: int, each: int, chance: random.Random) -> Seeded:
    """Write so many leads and their statement; each case of a fault stands in it so many times."""
    stories = WRONG * each
    while sum(case.leads for case in stories) < leads:
        stories.append(chance.choice(AGREE))
    chance.shuffle(stories)
    seeded = Seeded()
    written: list[dict[str, Any]] = []
    reports: list[list[CallReport]] = [[], []]
    lines: list[tuple[int, list[object]]] = []
    for number, case in enumerate(stories):
        at = _moment(number, len(stories), chance)
        seeded.faults.update((kind, number) for kind in case.faults)
        names = [f"{number}{f'.{again}' if again else ''}" for again in range(case.leads)]
        written += [_lead(name, number, case, at) for name in names]
        for place, (after_s, ms) in enumerate(case.calls):
            forwarded_at = None if after_s is None else at + timedelta(seconds=after_s)
            reports[place] += [CallReport(name, forwarded_at, ms) for name in names]
        lines += [(number, _row(number, price, at, chance)) for price in case.listed]
        if case.status == "unknown":
            seeded.settled_sold += "unknown_sold" in case.faults
            seeded.settled_not_sold += "unknown_sold" not in case.faults
    # Sold the day before and the day after, which is no business of this statement's.
    outside = [ended(f"outside-{day}", at=(FIRST + timedelta(days=day)).astimezone(UTC)) for day in (-1, DAYS)]
    put(ledger, *written, *outside)
    for told in reports:
        for first in range(0, len(told), 500):
            ledger.keep_reports(told[first : first + 500])
    chance.shuffle(lines)
    with statement.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["Sold Date", "Token", "Custom ID", "Payout", "Notes"])
        for line, (number, cells) in enumerate(lines, 2):
            seeded.whose[line] = number
            rows.writerow(cells)
    seeded.leads = len(written)
    return seeded


def _moment(number: int, of: int, chance: random.Random) -> datetime:
    """Spread the stories over the days, some of them on the very edge of one; the first and the last day have any."""
    if number % 50 == 7:
        midnight = FIRST + timedelta(days=chance.randrange(1, DAYS))
        return (midnight.astimezone(UTC) + timedelta(milliseconds=chance.choice([-1, 0, 1]))).astimezone(UTC)
    span = timedelta(days=DAYS) - timedelta(minutes=10)
    return (FIRST.astimezone(UTC) + timedelta(minutes=5) + span * (number / of)).astimezone(UTC)


def _lead(name: str, number: int, case: Case, at: datetime) -> dict[str, Any]:
    shared = {"token": f"t{number:08x}", "customid": f"c-{number}", "duration_s": MINIMUM_S, "subid": str(number % 7)}
    return ended(name, case.status, at=at.replace(microsecond=at.microsecond // 1000 * 1000), **shared | case.columns)


def _row(number: int, price: str | None, at: datetime, chance: random.Random) -> list[object]:
    """Write a row as the buyer has it: by its own clock, which is not quite ours, with one name of the lead or both."""
    local = (at + timedelta(milliseconds=chance.randrange(-900, 900))).astimezone(ZONE)
    token, customid = f"t{number:08x}", f"c-{number}"
    names = [(token, customid), (token, ""), ("", customid)][number % 3]
    return [local.isoformat(timespec="seconds"), *names, price or Money.parse("12.50"), chance.choice(["", "ok, paid"])]

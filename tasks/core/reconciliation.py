"""The buyer's statement held against the ledger: rows and leads in, differences out.

A row is paired with a lead by its token where the ledger knows that, else by its customid; each row and each lead once.

| the ledger has the lead as | in the statement                               | not in the statement   |
|----------------------------|------------------------------------------------|------------------------|
| sold, payout due           | agrees, or `other_price`; at 0: `due_unpaid`   | `due_unpaid`           |
| sold, payout open          | agrees, or `other_price`                       | `missing_in_statement` |
| sold, payout lost          | `lost_paid`; at 0: agrees                      | agrees                 |
| unknown                    | `unknown_sold`                                 | agrees                 |
| withheld                   | `withheld_sold`; at 0: agrees                  | agrees                 |
| anything else, or not      | `missing_in_ledger`                            | agrees                 |

A row too many for a lead is `double_in_statement`, a sold lead too many for a row `double_in_ledger`. A row or a lead
is part of one difference at most.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from itertools import groupby
from operator import attrgetter
from typing import Any

from tasks.core.money import Money
from tasks.core.payout import Loss, Standing


class Claim(StrEnum):
    """What we say of a lead to the buyer."""

    SOLD = "sold"  # also: unknown, and settled as sold
    UNKNOWN = "unknown"  # also: settled as not sold
    WITHHELD = "withheld"  # sold under the floor: the buyer may count it, we do not
    NONE = "none"


class Kind(StrEnum):
    """Every difference."""

    MISSING_IN_LEDGER = "missing_in_ledger"
    MISSING_IN_STATEMENT = "missing_in_statement"
    OTHER_PRICE = "other_price"
    DOUBLE_IN_STATEMENT = "double_in_statement"
    DOUBLE_IN_LEDGER = "double_in_ledger"
    UNKNOWN_SOLD = "unknown_sold"
    WITHHELD_SOLD = "withheld_sold"
    LOST_PAID = "lost_paid"
    DUE_UNPAID = "due_unpaid"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the statement, by its line. At least one of `token` and `customid` is there."""

    line: int
    token: str | None
    customid: str | None
    price: Money
    day: date | None = None
    in_period: bool = True


@dataclass(frozen=True, slots=True)
class Entry:
    """A lead as the ledger has it. `price` is what it should pay; `why` says why its payout is lost.

    `status` is its outcome's; `unknown` is true of one whose outcome is that, settled or not.
    """

    lead_id: str
    customid: str
    token: str | None
    claim: Claim
    price: Money | None
    received_at: datetime
    ended_at: datetime | None
    status: str
    in_period: bool = True
    payout: Standing = Standing.OPEN
    why: Loss | None = None
    settled: bool = False

    @property
    def unknown(self) -> bool:
        """Whether only a statement tells if it was sold."""
        return self.claim is Claim.UNKNOWN or self.settled


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference: on the statement's side, the ledger's, or both. `detail` says what the kind does not."""

    kind: Kind
    row: Row | None
    entry: Entry | None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """All differences, ordered by line; who was paired with whom; and the unknown leads that no row names."""

    findings: tuple[Finding, ...]
    pairs: tuple[tuple[Row, Entry], ...]
    unlisted: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a statement says of an unknown lead: that the buyer bought it, at a price; or that it did not."""

    lead_id: str
    sold: bool
    price: Money | None = None
    token: str | None = None


def compare(rows: Sequence[Row], entries: Sequence[Entry]) -> Comparison:
    """Hold a statement against leads: all that it names, and all of the period. Each lead stands there once.

    What is outside the period on both sides is paired, so that it is not taken for missing, and not reported.
    """
    pairs: list[tuple[Row, Entry]] = []
    findings: list[Finding] = []
    taken: dict[str, Row] = {}
    named: dict[str, str] = {}
    for by, rows_of_one, leads in _groups(rows, entries):
        payable = [entry for entry in leads if entry.claim is not Claim.NONE]
        paired, left = _pair(rows_of_one, [entry for entry in payable if entry.lead_id not in taken])
        pairs += paired
        taken.update((entry.lead_id, row) for row, entry in paired)
        named.update((entry.lead_id, by) for entry in payable)
        findings += (it for row, entry in paired if row.in_period or entry.in_period for it in _of_pair(row, entry))
        # Rows are left only where every lead that they may mean has its own.
        known = next(iter(payable or leads), None)
        findings += _of_rows_left(left, known, taken.get(known.lead_id) if known else None)
    lone = [entry for entry in entries if entry.in_period and entry.lead_id not in taken]
    findings += (it for entry in lone for it in _of_lead_left(entry, named.get(entry.lead_id)))
    unlisted = (entry for entry in lone if entry.claim is Claim.UNKNOWN and entry.lead_id not in named)
    return Comparison(tuple(sorted(findings, key=_place)), tuple(pairs), tuple(unlisted))


def settle(comparison: Comparison, covered: tuple[datetime, datetime] | None) -> list[Settlement]:
    """Say what a statement tells of unknown leads: those that it has were sold.

    Those that it has not were not sold, where they came and ended in the time that it `covered` completely.
    """
    settled = [
        Settlement(entry.lead_id, True, row.price, row.token or entry.token)
        for row, entry in comparison.pairs
        if entry.unknown and (row.in_period or entry.in_period)
    ]
    for entry in comparison.unlisted:
        inside = covered and entry.ended_at and covered[0] <= entry.received_at and entry.ended_at <= covered[1]
        if inside:
            settled.append(Settlement(entry.lead_id, sold=False))
    return settled


def _groups(rows: Iterable[Row], entries: Sequence[Entry]) -> Iterator[tuple[str, list[Row], list[Entry]]]:
    """Put together the rows that mean the same lead: by tokens that the ledger knows, by customids, and the rest."""
    tokens, customids = _by(entries, "token"), _by(entries, "customid")
    by_token, by_customid, strange = (defaultdict[Any, list[Row]](list) for _ in range(3))
    for row in sorted(rows, key=lambda row: not row.in_period):
        if row.token in tokens:
            by_token[row.token].append(row)
        elif row.customid in customids:
            by_customid[row.customid].append(row)
        else:
            strange[(row.token, None if row.token else row.customid)].append(row)
    yield from (("token", listed, tokens[name]) for name, listed in by_token.items())
    yield from (("customid", listed, customids[name]) for name, listed in by_customid.items())
    yield from (("", listed, []) for listed in strange.values())


def _by(entries: Iterable[Entry], name: str) -> Mapping[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        if key := getattr(entry, name):
            found.setdefault(key, []).append(entry)
    return found


_PASSES: tuple[Callable[[Any], object], ...] = (
    attrgetter("price", "customid"),
    attrgetter("price"),
    attrgetter("customid"),
    lambda _: None,
)


def _pair(rows: Sequence[Row], entries: Iterable[Entry]) -> tuple[list[tuple[Row, Entry]], list[Row]]:
    """Pair rows and leads that may mean each other, the likeliest first; gives the rows that are left, too."""
    pairs: list[tuple[Row, Entry]] = []
    left = list(rows)
    for _, alike in groupby(sorted(entries, key=_unlikely), key=_unlikely):
        free = list(alike)
        for same in _PASSES:
            waiting = defaultdict[object, deque[Entry]](deque)
            for entry in free:
                waiting[same(entry)].append(entry)
            still = []
            for row in left:
                if waiting[same(row)]:
                    pairs.append((row, waiting[same(row)].popleft()))
                else:
                    still.append(row)
            left, free = still, [entry for queue in waiting.values() for entry in queue]
    return pairs, left


def _unlikely(entry: Entry) -> tuple[bool, int, bool]:
    """Order leads of one name by how unlikely it is that a row means them."""
    order = (Claim.SOLD, Claim.UNKNOWN, Claim.WITHHELD)
    return not entry.in_period, order.index(entry.claim), entry.payout is Standing.LOST


def _of_pair(row: Row, entry: Entry) -> Iterator[Finding]:
    nothing = row.price.micros == 0
    if entry.claim is Claim.UNKNOWN:
        yield Finding(Kind.UNKNOWN_SOLD, row, entry)
    elif entry.claim is Claim.WITHHELD:
        if not nothing:
            yield Finding(Kind.WITHHELD_SOLD, row, entry)
    elif entry.payout is Standing.LOST:
        if not nothing:
            yield Finding(Kind.LOST_PAID, row, entry, str(entry.why))
    elif row.price != entry.price:
        if nothing and entry.payout is Standing.DUE:
            yield Finding(Kind.DUE_UNPAID, row, entry, "stands there at 0.00")
        elif entry.price is not None:
            yield Finding(Kind.OTHER_PRICE, row, entry)


def _of_rows_left(left: Iterable[Row], known: Entry | None, paired: Row | None) -> Iterator[Finding]:
    """Report rows that no lead is left for. `known`: the lead that they mean all the same, `paired` with that row."""
    for row in left:
        if not row.in_period:
            continue
        if paired is None:
            words = f"the ledger has it as {known.status}" if known else "no such lead"
            yield Finding(Kind.MISSING_IN_LEDGER, row, known, words)
            paired = row
        else:
            yield Finding(Kind.DOUBLE_IN_STATEMENT, row, known, f"line {paired.line} means the same lead")


def _of_lead_left(entry: Entry, named_by: str | None) -> Iterator[Finding]:
    if entry.claim is not Claim.SOLD or entry.payout is Standing.LOST:
        return
    if named_by:
        yield Finding(Kind.DOUBLE_IN_LEDGER, None, entry, f"has its {named_by} in common, and too few rows")
    elif entry.payout is Standing.DUE:
        yield Finding(Kind.DUE_UNPAID, None, entry, "not in the statement")
    else:
        yield Finding(Kind.MISSING_IN_STATEMENT, None, entry)


def _place(finding: Finding) -> tuple[bool, int, str]:
    row, entry = finding.row, finding.entry
    return row is None, row.line if row else 0, entry.lead_id if entry else ""

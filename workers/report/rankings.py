"""The page's tables with a bar in each row: how far leads came, what became of them, and what brought most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tasks.core.outcome import Status
from tasks.core.protocol import Call
from tasks.core.tally import Tally, total
from workers.report.findings import Findings, best_first
from workers.report.measures import cells
from workers.report.words import counted, rate

SOURCES: Final = 12
_BROUGHT: Final = ("payout", "sold", "accept rate", "leads", "average bid", "possible")
_MEANINGS: Final = {
    Status.SOLD: "a number to forward the caller to",
    Status.REJECTED: "the buyer's no, or a bid under the floor",
    Status.CAPPED: "a daily cap, or an own limit",
    Status.EXPIRED: "no sale before the deadline",
    Status.INVALID: "against a rule of the buyer's",
    Status.BLOCKED: "the account needs an operator",
    Status.UNKNOWN: "posted, and no answer: may be sold",
    Status.FAILED: "a fault of ours",
}


@dataclass(frozen=True, slots=True)
class Row:
    """A name with a bar, `share` percent of the longest one, and numbers. `note`: what the name means."""

    name: str
    share: float
    cells: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Ranking:
    """A table with a bar in each row; `head` has the title of the names, and then those of the cells."""

    id: str
    title: str
    says: str
    head: tuple[str, ...]
    rows: tuple[Row, ...]


def funnel(findings: Findings) -> Ranking:
    """Tell how many of the leads that begin with a ping come how far."""
    begun = findings.calls.get((Call.PING.value,), Tally())
    straight = total(tally for (call,), tally in findings.calls.items() if call != Call.PING.value)
    came = (("leads", begun.leads), ("pinged", begun.pinged), ("bid for", begun.bids), ("posted", begun.posted))
    rows, before = [], 0
    for name, number in (*came, ("sold", begun.sold)):
        parts = (rate(number, before), rate(number, begun.leads))
        rows.append(Row(name, _share(number, begun.leads), (f"{number:,}", *parts)))
        before = number
    says = f"{counted(begun.leads, 'lead')}, {counted(begun.pings, 'ping')}, {counted(begun.posts, 'post')}."
    if straight.leads:
        says += f" Besides, {counted(straight.leads, 'lead')} by one-step call or direct post: {straight.sold:,} sold."
    head = ("step", "leads", "of the step before", "of all")
    return Ranking("funnel", "From lead to sale", says, head, tuple(rows))


def outcomes(findings: Findings) -> Ranking:
    """Tell what became of the leads."""
    whole = findings.whole
    most = max(whole.counts.values(), default=0)
    rows = (
        Row(status.value, _share(number, most), (f"{number:,}", rate(number, whole.leads)), _MEANINGS[status])
        for status, number in sorted(whole.counts.items(), key=lambda each: -each[1])
    )
    says = f"{counted(whole.leads, 'lead')} ended."
    return Ranking("outcomes", "What became of the leads", says, ("outcome", "leads", "share"), tuple(rows))


def sources(findings: Findings) -> Ranking:
    """Tell what the best sub sources brought, and all others together."""
    ranked = best_first(findings.sources)
    named = [(str(member) or "(none)", tally) for (member,), tally in ranked[:SOURCES]]
    if others := [tally for _, tally in ranked[SOURCES:]]:
        named.append((f"{len(others):,} more", total(others)))
    says = f"{counted(len(ranked), 'sub source')}, the best first."
    return Ranking("sources", "Sub sources", says, ("sub source", *_BROUGHT), tuple(_brought(named)))


def categories(findings: Findings) -> Ranking:
    """Tell what each category brought."""
    named = [(findings.category(member), tally) for (member,), tally in best_first(findings.categories)]
    says = f"{counted(len(named), 'category', 'categories')}, the best first."
    return Ranking("categories", "Categories", says, ("category", *_BROUGHT), tuple(_brought(named)))


def _brought(named: Sequence[tuple[str, Tally]]) -> Iterator[Row]:
    most = max((tally.payout for _, tally in named), default=0)
    for name, tally in named:
        told = cells(tally, "payout", "sold", "accept_rate", "leads", "average_bid", "possible")
        yield Row(name, _share(tally.payout, most), told)


def _share(part: int, whole: int) -> float:
    return round(100 * part / whole, 2) if whole else 0

"""The page's plots over time, each with a sentence, and with a table that says the same in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tasks.core.money import MICROS
from workers.report.findings import Findings, best_first
from workers.report.measures import cells
from workers.report.plots import Plot, Slot, columns, line, overlaid
from workers.report.words import MINUS, amount, counted, price, rate

# So many categories have a colour of their own; where there are more, the last ones share one.
COLOURS: Final = 7
# Two plots in one section, and one in that beside it.
_LARGE_PX, _SMALL_PX, _TALL_PX = 105, 60, 250


@dataclass(frozen=True, slots=True)
class Section:
    """Something over time. `plots` stand under one another, each with its own title; `names` are its colours'."""

    id: str
    title: str
    says: str
    plots: tuple[tuple[str, Plot], ...]
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    names: tuple[str, ...] = ()


def payout(findings: Findings) -> Section:
    """Tell each day's payout, a colour a category."""
    ranked = [member for (member,), _ in best_first(findings.categories)]
    own = ranked if len(ranked) <= COLOURS else ranked[: COLOURS - 1]
    names = (*map(findings.category, own), *(["other categories"] if len(own) < len(ranked) else []))
    slots, rows = [], []
    for step in findings.steps:
        parts = [0] * len(names)
        for (member,), tally in step.categories.items():
            parts[own.index(member) if member in own else -1] += tally.payout
        told = [f"{name}: {price(part)}" for name, part in zip(names, parts, strict=True) if part]
        slots.append(Slot(step.label, "\n".join((f"{step.words}: {price(sum(parts))}", *told)), _places(*parts)))
        rows.append((step.name, *map(amount, parts), amount(sum(parts))))
    best = max(findings.steps, key=lambda step: step.tally.payout)
    says = f"{price(findings.whole.payout)} in all."
    if len(findings.steps) > 1:
        says += f" Most: {best.words}, {price(best.tally.payout)}."
    title = f"Payout by {findings.pace}"
    plots = ((title, columns(slots, _dollars)),)
    return Section("payout", title, says, plots, (findings.pace, *names, "all"), tuple(rows), names)


def hours(findings: Findings) -> Section:
    """Tell the payout of each hour on the buyer's clocks."""
    slots, rows = [], []
    for hour, tally in findings.clock():
        words = f"{_hour(hour)}: {price(tally.payout)}\n{tally.sold:,} sold of {counted(tally.leads, 'lead')}"
        slots.append(Slot(f"{hour:02}", words, _places(tally.payout)))
        rows.append((f"{hour:02}:00", *cells(tally, "leads", "sold", "accept_rate", "payout")))
    best, most = max(findings.clock(), key=lambda each: each[1].payout)
    says = f"By the buyer's clocks. Most: {_hour(best)}, {price(most.payout)}."
    title = "Payout by hour of the buyer's day"
    plots = ((title, columns(slots, _dollars)),)
    return Section("hours", title, says, plots, ("hour", "leads", "sold", "accept rate", "payout"), tuple(rows))


def accepted(findings: Findings) -> Section:
    """Tell how many of the answered pings were bid for, day by day."""
    slots, rows = [], []
    for step in findings.steps:
        tally = step.tally
        words = f"{step.words}: {rate(tally.bids, tally.answered)}\n{_bids(tally.bids, tally.answered)}"
        slots.append(Slot(step.label, words, (tally.accept_rate,)))
        rows.append((step.name, *cells(tally, "pings", "answered", "bids", "accept_rate", "average_bid")))
    whole = findings.whole
    says = f"{rate(whole.bids, whole.answered)} in all: {_bids(whole.bids, whole.answered)}."
    title = f"Accept rate by {findings.pace}"
    head = (findings.pace, "pings", "answered", "bids", "accept rate", "average bid")
    return Section("accepted", title, says, ((title, line(slots, "{:.0%}".format)),), head, tuple(rows))


def confirmed(findings: Findings) -> Section:
    """Tell what was quoted beside what was confirmed, and by how much they differ."""
    amounts, differences, rows = [], [], []
    for step in findings.steps:
        tally = step.tally
        words = f"{step.words}\nquoted {price(tally.quoted)}\nconfirmed {price(tally.confirmed)}"
        amounts.append(Slot(step.label, words, _places(tally.quoted, tally.confirmed)))
        words = f"{step.words}: {price(tally.difference)}"
        differences.append(Slot(step.label, words, _places(tally.difference)))
        names = ("sold", "price_quoted", "price_confirmed", "price_difference", "unconfirmed")
        rows.append((step.name, *cells(tally, *names)))
    whole = findings.whole
    says = f"{price(whole.quoted)} quoted, {price(whole.confirmed)} confirmed."
    if whole.difference:
        compared = "less" if whole.difference < 0 else "more"
        says += f" Where both are known, {price(abs(whole.difference))} {compared} was confirmed."
    if whole.unconfirmed:
        says += f" {counted(whole.unconfirmed, 'sale')} without a confirmed price."
    plots = (
        ("Quoted, with what is confirmed in front of it", overlaid(amounts, _dollars, height=_LARGE_PX)),
        ("Confirmed less quoted", columns(differences, _dollars, height=_SMALL_PX)),
    )
    head = (findings.pace, "sold", "quoted", "confirmed", "difference", "unconfirmed")
    return Section("confirmed", "Quoted and confirmed", says, plots, head, tuple(rows), ("quoted", "confirmed"))


def possible(findings: Findings) -> Section:
    """Tell how many leads may be sold without our knowing."""
    slots, rows = [], []
    for step in findings.steps:
        tally = step.tally
        words = f"{step.words}: {tally.possible:,}, {price(tally.possible_payout)}"
        slots.append(Slot(step.label, words, (tally.possible,)))
        rows.append((step.name, *cells(tally, "unknown", "possible", "possible_payout")))
    whole = findings.whole
    says = "None: it is known of each post what became of it."
    if whole.possible:
        says = (
            f"{counted(whole.possible, 'lead')} that the buyer may have counted as sold and we did not, at"
            f" {price(whole.possible_payout)}. Hold them against the buyer's statement."
        )
    title = f"Unknown, and maybe sold, by {findings.pace}"
    plots = ((title, columns(slots, "{:,.0f}".format, height=_TALL_PX, whole=True)),)
    head = (findings.pace, "unknown", "possible", "possible payout")
    return Section("possible", title, says, plots, head, tuple(rows))


def _places(*micros: int) -> tuple[float, ...]:
    """Give amounts in dollars: to place them, not to reckon with them."""
    return tuple(each / MICROS for each in micros)


def _dollars(mark: float) -> str:
    """Write a mark of an axis: ``$ 250``, ``$ 0.25``, ``$ 12k``."""
    size = abs(mark)
    words = f"{size / 1000:g}k" if size >= 10_000 else f"{size:,.0f}" if size == int(size) else f"{size:.2f}"
    return f"{MINUS if mark < 0 else ''}$ {words}"


def _bids(bids: int, answered: int) -> str:
    return f"{counted(bids, 'bid')} of {counted(answered, 'answered ping')}"


def _hour(hour: int) -> str:
    return f"{hour:02}:00 to {hour:02}:59"

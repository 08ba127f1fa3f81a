"""What a number of leads brought, counted and added up. Amounts are whole micro-dollars."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields

from tasks.core.outcome import Status


@dataclass(frozen=True, slots=True)
class Tally:
    """Ended leads, live ones but for `tests`, which count into nothing else.

    Attributes:
        counts: Live leads by status. `tests`: those of test mode.
        pings: Pings that were made, repeated ones too. `posts`: posts, one-step calls and direct posts.
        pinged: Leads that were pinged at least once. `posted`: that were posted, or sold by one of the other calls.
        answered: Leads whose ping the buyer answered with a bid or a no. 1000 and 1100 are neither, nor is silence.
        bids: Leads with a bid, be it one under the floor. `bid_total`: what was bid in all.
        quoted: What the buyer quoted for the leads that were sold. `confirmed`: what it confirmed of that.
        difference: Confirmed less quoted, of those sales of which both are known.
        unconfirmed: Sales without a confirmed price.
        payout: Of each sale the confirmed price, else the quoted one.
        due: What of the payout is due by the reports of calls. `lost`: what is lost; for the rest there is no report.
        possible: Leads that the buyer may have counted as sold and we do not (`unknown`, or sold under the floor), at
            `possible_payout`.
    """

    counts: Mapping[Status, int] = field(default_factory=dict)
    tests: Mapping[Status, int] = field(default_factory=dict)
    pings: int = 0
    pinged: int = 0
    answered: int = 0
    bids: int = 0
    bid_total: int = 0
    posts: int = 0
    posted: int = 0
    quoted: int = 0
    confirmed: int = 0
    difference: int = 0
    unconfirmed: int = 0
    payout: int = 0
    due: int = 0
    lost: int = 0
    possible: int = 0
    possible_payout: int = 0

    @property
    def leads(self) -> int:
        """Live leads that ended."""
        return sum(self.counts.values())

    @property
    def sold(self) -> int:
        """Live leads that were sold."""
        return self.counts.get(Status.SOLD, 0)

    @property
    def tested(self) -> int:
        """Leads of test mode."""
        return sum(self.tests.values())

    @property
    def accept_rate(self) -> float | None:
        """Bids of the pings that were answered, from 0 to 1; None where none was."""
        return self.bids / self.answered if self.answered else None

    @property
    def average_bid(self) -> int | None:
        """The mean of all bids, to the nearest micro-dollar; None where there was none."""
        return (self.bid_total + self.bids // 2) // self.bids if self.bids else None


def total(tallies: Iterable[Tally]) -> Tally:
    """Add tallies up; of none, it is a tally of nothing."""
    counts, tests, numbers = Counter[Status](), Counter[Status](), Counter[str]()
    for tally in tallies:
        counts.update(tally.counts)
        tests.update(tally.tests)
        for name in _NUMBERS:
            numbers[name] += getattr(tally, name)
    return Tally(dict(counts), dict(tests), **numbers)


_NUMBERS = tuple(each.name for each in fields(Tally) if each.name not in ("counts", "tests"))

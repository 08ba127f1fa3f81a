"""A buyer with a book: what it decided of every call, and whether its answer arrived."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tasks.buyers.port import Exchange, Offer
from tasks.core.bid import Bid
from tasks.core.money import Money
from tasks.core.protocol import Call
from tasks.core.reasons import Answer, Refusal, Unanswered, Unreadable
from tasks.core.sale import Sale
from tests.simulation.strands import Clock, effect

YES: Final = "yes"
MAINTENANCE, LIMIT, CAP, NO_COVERAGE, WORDS = (
    Refusal(1000, "Server under maintenance"),
    Refusal(1100, "Request limit exceeded"),
    Refusal(4000, "Daily Cap reached"),
    Refusal(5000, "No coverage or buyers"),
    Refusal(None, "not today"),
)
DECISIONS: Final[tuple[str | Refusal, ...]] = (YES,) * 8 + (MAINTENANCE, LIMIT, CAP, NO_COVERAGE, WORDS)
# How a call goes: refused before its first byte, answered, or answered by nothing, or by nothing readable.
FATES: Final = ("answered",) * 7 + ("never sent", "reset", "unreadable")
LATENCIES_MS: Final = (5, 40, 1900, 7900)


@dataclass
class Entry:
    """One call that reached the buyer. `answered`: its answer was read, so that both know the same."""

    lead_id: str
    call: Call
    offered: str | None
    decision: str | Refusal
    token: str
    price: Money
    answered: bool = False

    @property
    def may_have_sold(self) -> bool:
        """Whether the seller must take this call for a sale: it is one, or nobody told it otherwise."""
        return self.call.sells and (self.decision == YES or not self.answered)


class ModelBuyer:
    """Stands in for `tasks.buyers.http.HttpBuyer`. `choose(n)` gives a number below n."""

    def __init__(self, clock: Clock, choose: Callable[[int], int]) -> None:
        self._clock = clock
        self._choose = choose
        self.healthy = False  # at the end of a schedule: answers at once, and all that is asked
        self.book: list[Entry] = []

    def ask(self, call: Call, offer: Offer, timeout_s: float) -> Exchange:
        """See `tasks.buyers.port.Buyer`."""
        effect(f"buyer.{call}")
        fate = "answered" if self.healthy else FATES[self._choose(len(FATES))]
        if fate == "never sent":
            return self._exchange(call, Unanswered("refused", never_sent=True))
        number = len(self.book)
        price = Money((10 + number) * 1_000_000)
        decision = DECISIONS[self._choose(len(DECISIONS))]
        entry = Entry(offer.customid, call, offer.token, decision, f"token-{number}", price)
        self.book.append(entry)
        latency = LATENCIES_MS[0] if self.healthy else LATENCIES_MS[self._choose(len(LATENCIES_MS))]
        latency = min(latency, round(timeout_s * 1000))
        effect(f"buyer.{call} decides", wakes_at=self._clock.ms + latency)
        if fate == "reset":
            return self._exchange(call, Unanswered("reset"))
        if fate == "unreadable":
            return self._exchange(call, Unreadable("cut short"))
        entry.answered = True
        return self._exchange(call, self._answer(entry))

    @staticmethod
    def _answer(entry: Entry) -> Answer:
        if isinstance(entry.decision, Refusal):
            return entry.decision
        if entry.call is Call.PING:
            return Bid(entry.price, entry.token, 60)
        return Sale(f"1855{len(entry.token):07}", entry.price, None, entry.offered or entry.token)

    @staticmethod
    def _exchange(call: Call, answer: Answer) -> Exchange:
        return Exchange(call, answer, 200, 1.0, {}, "")

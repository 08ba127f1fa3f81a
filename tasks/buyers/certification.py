"""The buyer's test mode as steps: which calls it asks for, and what each must bring (seed, Test mode).

Pure: a step is what to ask and what would be right; `workers/cli/certify.py` asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tasks.buyers.port import Offer
from tasks.core.bid import Bid
from tasks.core.money import Money
from tasks.core.protocol import Call
from tasks.core.reasons import Answer, Refusal
from tasks.core.sale import Sale

NO_MATCH: Final = "nomatch"
# The page's own examples: nobody's data.
SAMPLE: Final[Mapping[str, str]] = {
    "numcategory": "16001",
    "transfer_type": "1",
    "zipcode": "33139",
    "state": "FL",
    "firstname": "John",
    "lastname": "Doe",
    "telephone": "8772681223",
    "email": "john.doe@gmail.com",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One call of the test: `positive` asks for an acceptance (subid ``match``), otherwise for a refusal."""

    name: str
    call: Call
    positive: bool

    def is_right(self, answer: Answer) -> bool:
        """Whether the answer could be read, and is of the kind that was asked for."""
        if not self.positive:
            return isinstance(answer, Refusal)
        return isinstance(answer, Sale if self.call.sells else Bid)


STEPS: Final = (
    Step("one-step, accepted", Call.ONE_STEP, positive=True),
    Step("one-step, refused", Call.ONE_STEP, positive=False),
    Step("ping, accepted", Call.PING, positive=True),
    Step("ping, refused", Call.PING, positive=False),
    Step("post against the ping's token", Call.POST, positive=True),
    Step("direct post, accepted", Call.DIRECT_POST, positive=True),
)


def offer(step: Step, customid: str, *, test_subid: str, price: Money, bid: Bid | None) -> Offer:
    """Give what a step offers; a post needs the `bid` of the ping before it."""
    fields = {**SAMPLE, "subid": test_subid if step.positive else NO_MATCH}
    return Offer(
        fields,
        customid,
        token=bid.token if bid and step.call is Call.POST else None,
        price=price if step.call is Call.DIRECT_POST else None,
    )

"""The buyer's test as steps: what each offers, and which answers are right."""

from __future__ import annotations

import pytest

from tasks.buyers.certification import NO_MATCH, STEPS, Step, offer
from tasks.core.bid import Bid
from tasks.core.money import Money
from tasks.core.protocol import Call, Protocol
from tasks.core.reasons import Answer, Refusal, Unreadable
from tasks.core.sale import Sale

BID = Bid(Money.parse("0.50"), "token")
SALE = Sale("8005550100")
PRICE = Money.parse("0.50")


def test_the_one_call_whose_endpoint_is_stated_comes_first() -> None:
    assert STEPS[0].call is Call.ONE_STEP
    assert {step.call for step in STEPS} == set(Call)


@pytest.mark.parametrize(
    ("step", "answer", "right"),
    [
        (Step("", Call.PING, positive=True), BID, True),
        (Step("", Call.PING, positive=True), Refusal(5000), False),
        (Step("", Call.PING, positive=True), Unreadable("why"), False),
        (Step("", Call.PING, positive=False), Refusal(5000), True),
        (Step("", Call.PING, positive=False), BID, False),
        (Step("", Call.POST, positive=True), SALE, True),
        (Step("", Call.POST, positive=True), BID, False),
        (Step("", Call.ONE_STEP, positive=False), SALE, False),
        (Step("", Call.ONE_STEP, positive=False), Unreadable("why"), False),
    ],
)
def test_an_answer_is_right_if_it_is_read_and_of_the_kind_asked_for(step: Step, answer: Answer, right: bool) -> None:
    assert step.is_right(answer) is right


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_a_step_asks_for_what_the_page_says(step: Step, protocol: Protocol) -> None:
    asked = offer(step, "custom", test_subid=protocol.test_subid, price=PRICE, bid=BID)

    assert asked.fields["subid"] == (protocol.test_subid if step.positive else NO_MATCH)
    assert asked.token == ("token" if step.call is Call.POST else None)
    assert asked.price == (PRICE if step.call is Call.DIRECT_POST else None)
    assert asked.customid == "custom"

"""The buyer's test as steps: what each offers, which answers are right, and what all of them amount to."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tasks.buyers.certification import (
    NO_MATCH,
    STEPS,
    Finding,
    Form,
    Mark,
    Step,
    conclude,
    is_transient,
    judge_step,
    offer,
)
from tasks.buyers.letsmakealead.wire import Sender, request_fields
from tasks.core.bid import Bid
from tasks.core.lead import Flow
from tasks.core.money import Money
from tasks.core.protocol import Call, Protocol
from tasks.core.reasons import Answer, Refusal, Unanswered, Unreadable
from tasks.core.sale import Sale

BID = Bid(Money.parse("0.50"), "token", 60)
SALE = Sale("8005550100", Money.parse("0.50"), 60)
FLOOR = Money.parse("0.25")
FORM = Form("form", "JSON")
OTHER = Form("get", "")


def test_the_one_call_whose_endpoint_is_stated_comes_first() -> None:
    assert STEPS[0].call is Call.ONE_STEP


def test_each_call_is_asked_for_a_yes_and_for_a_no() -> None:
    assert {(step.call, step.positive) for step in STEPS} == {(call, yes) for call in Call for yes in (True, False)}


def test_each_post_has_a_bid_of_its_own_from_before() -> None:
    """A token that was used for a yes proves nothing in a no."""
    bids = [step.bid for step in STEPS if step.call is Call.POST]
    assert len(set(bids)) == len(bids)
    names = [step.name for step in STEPS if step.call is Call.PING and step.positive]
    assert set(bids) <= set(names)
    assert [step.name for step in STEPS].index("post, accepted") > [step.name for step in STEPS].index(names[-1])


@pytest.mark.parametrize(
    ("step", "answer", "why"),
    [
        (Step("", Call.PING, positive=True), BID, ""),
        (
            Step("", Call.PING, positive=True),
            Refusal(5000, "No"),
            "refused (5000 No), where an acceptance was asked for",
        ),
        (Step("", Call.PING, positive=True), Refusal(None), "refused (), where an acceptance was asked for"),
        (Step("", Call.PING, positive=True), Unreadable("odd"), "cannot be read (odd)"),
        (Step("", Call.PING, positive=True), Unanswered("slow"), "no answer (slow)"),
        (Step("", Call.PING, positive=False), Refusal(5000), ""),
        (Step("", Call.PING, positive=False), Refusal(None, "No"), ""),
        (Step("", Call.PING, positive=False), BID, "accepted, where a refusal was asked for"),
        (
            Step("", Call.PING, positive=False),
            Refusal(2000, "Who?"),
            "2000 Who?: that is the account's, not the lead's",
        ),
        (Step("", Call.PING, positive=False), Refusal(1100), "1100: still, after waiting"),
        (Step("", Call.POST, positive=True), SALE, ""),
        (Step("", Call.ONE_STEP, positive=False), SALE, "accepted, where a refusal was asked for"),
        (Step("", Call.ONE_STEP, positive=False), Unreadable("odd"), "cannot be read (odd)"),
    ],
)
def test_an_answer_is_right_if_it_is_read_and_of_the_kind_asked_for(
    step: Step, answer: Answer, why: str, protocol: Protocol
) -> None:
    finding = judge_step(FORM, step, answer, protocol)
    assert (finding.mark, finding.why) == (Mark.WRONG if why else Mark.RIGHT, why)


@pytest.mark.parametrize(
    ("call", "answer", "asked"),
    [
        (Call.PING, BID, []),
        (Call.PING, Bid(BID.price, "token"), ["no call duration was told"]),
        (Call.ONE_STEP, Sale("8005550100"), ["no call duration was told", "no price was told"]),
        (Call.POST, Sale("8005550100", BID.price), []),
        (Call.DIRECT_POST, Sale("8005550100"), ["no price was told"]),
        (Call.PING, Refusal(7777, "New"), ["7777 is not a code of the page"]),
        (Call.PING, Refusal(5000), []),
    ],
)
def test_what_a_right_answer_leaves_open_is_asked(
    call: Call, answer: Answer, asked: list[str], protocol: Protocol
) -> None:
    step = Step("", call, positive=not isinstance(answer, Refusal))
    notes = judge_step(FORM, step, answer, protocol).notes
    assert [note.partition(",")[0].partition(":")[0] for note in notes] == asked


@pytest.mark.parametrize("code", [1000, 1100])
def test_only_not_now_is_asked_again(code: int, protocol: Protocol) -> None:
    assert is_transient(Refusal(code), protocol)
    for answer in (Refusal(5000), Refusal(None), Unreadable("odd"), Unanswered("slow"), BID, SALE):
        assert not is_transient(answer, protocol)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_a_step_asks_for_what_the_page_says(step: Step, protocol: Protocol) -> None:
    """The direct post's price is written as on the page, and prices that nobody asked to send are not sent."""
    asked = offer(step, "custom", protocol, floor=FLOOR, bid=BID)
    sent = request_fields(step.call, asked, Sender("XYZ", "test_mode"), protocol)
    assert sent["subid"] == (protocol.test_subid if step.positive else NO_MATCH)
    assert sent.get("token") == ("token" if step.call is Call.POST else None)
    assert sent.get("price") == ("0.5" if step.call is Call.DIRECT_POST else None)
    assert sent.get("customid") == (None if step.call is Call.PING else "custom")


def test_prices_are_tested_where_configuration_sends_them(protocol: Protocol) -> None:
    sender = Sender("XYZ", "test_mode", send_price="both")
    prices = {}
    for step in STEPS:
        asked = offer(step, "custom", protocol, floor=FLOOR, bid=BID)
        prices[step.call] = request_fields(step.call, asked, sender, protocol).get("price")
    assert prices == {Call.ONE_STEP: None, Call.PING: "0.25", Call.POST: "0.50", Call.DIRECT_POST: "0.5"}


def test_without_a_bid_there_is_nothing_to_post(protocol: Protocol) -> None:
    step = next(step for step in STEPS if step.call is Call.POST)
    with pytest.raises(ValueError, match="a post needs a token"):
        request_fields(step.call, offer(step, "", protocol, floor=FLOOR, bid=None), Sender("XYZ", ""), protocol)


# The verdict


def _run(
    form: Form = FORM, *, wrong: Iterable[Call] = (), skipped: Iterable[Call] = (), notes: tuple[str, ...] = ()
) -> list[Finding]:
    """Every step of a run, with the calls that went wrong and those that could not be tried."""
    found = []
    for step in STEPS:
        mark = Mark.WRONG if step.call in wrong else Mark.SKIPPED if step.call in skipped else Mark.RIGHT
        why = {Mark.WRONG: "odd", Mark.SKIPPED: "not tried", Mark.RIGHT: ""}[mark]
        found.append(Finding(form, step, mark, why, notes))
    return found


@pytest.mark.parametrize("flow", Flow)
def test_a_run_without_a_fault_is_a_yes(flow: Flow) -> None:
    verdict = conclude(_run(), FORM, flow)
    assert verdict.go_live
    assert verdict.reasons == ()
    assert set(verdict.remarks) == {f"the flow {other} works too" for other in Flow if other is not flow}


def test_a_fault_of_a_call_that_the_flow_makes_is_a_no_and_named() -> None:
    verdict = conclude(_run(wrong=[Call.POST]), FORM, Flow.PING_POST)
    assert not verdict.go_live
    assert verdict.reasons == ("post, accepted: odd", "post, refused: odd")


def test_a_call_that_the_flow_makes_and_nobody_could_try_is_a_no_told_once() -> None:
    verdict = conclude(_run(skipped=[Call.PING]), FORM, Flow.PING_POST)
    assert (verdict.go_live, verdict.reasons) == (False, ("ping: not tried",))


def test_a_fault_elsewhere_leaves_the_yes_and_is_told() -> None:
    """A lead may name a flow of its own: the operator learns which would not work."""
    verdict = conclude(_run(wrong=[Call.ONE_STEP], skipped=[Call.DIRECT_POST]), FORM, Flow.PING_POST)
    assert verdict.go_live
    assert verdict.remarks == ("one-step, accepted: odd", "one-step, refused: odd", "direct_post: not tried")


def test_another_form_decides_nothing_and_is_told() -> None:
    """What works besides is where to go when the form that is set does not."""
    good, bad = _run(), _run(OTHER, wrong=[Call.PING])
    verdict = conclude(good + bad, FORM, Flow.PING_POST)
    assert verdict.go_live
    assert f"the form {OTHER} does not work" in verdict.remarks
    verdict = conclude(good + bad, OTHER, Flow.PING_POST)
    assert not verdict.go_live
    assert f"the form {FORM} works too" in verdict.remarks


def test_a_form_is_told_by_its_method_and_its_format() -> None:
    assert (str(FORM), str(OTHER)) == ("form, JSON", "get, default format")


def test_each_question_is_asked_once() -> None:
    """However many forms have raised it."""
    verdict = conclude(_run(notes=("why?",)) + _run(OTHER, notes=("why?",)), FORM, Flow.PING_POST)
    assert verdict.notes == tuple(f"{step.name}: why?" for step in STEPS)

"""A buyer that fails in every way: what may be repeated is, and what may be sold never is."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.faults.conftest import FAULTS, SELLING, House, flow_of, send

WRONG = {f"x-{call}-{fault}": (call, f"1{n}{m}00") for n, call in enumerate(SELLING) for m, fault in enumerate(FAULTS)}
AGAIN = {f"x-{call}-{code}": (call, f"2{n}{code[1]}00") for n, call in enumerate(SELLING) for code in ("1000", "1100")}
PINGS = {f"x-ping-{fault}": f"4{m}000" for m, fault in enumerate(FAULTS)}


@pytest.fixture(scope="module")
def matrix(house: House) -> House:
    """All leads of this module, sent together."""
    send(house, *((name, {"zipcode": zipcode, **flow_of(call)}) for name, (call, zipcode) in WRONG.items()))
    send(house, *((name, {"zipcode": zipcode}) for name, zipcode in PINGS.items()))
    send(house, ("x-ping-always", {"zipcode": "49000", "deadline_s": 6}))
    return house


@pytest.mark.parametrize("name", WRONG)
def test_a_sale_whose_answer_went_wrong_is_unknown_and_never_asked_for_again(matrix: House, name: str):
    """Whatever goes wrong after the first byte of a post, a one-step call or a direct post: one call, one outcome."""
    call, zipcode = WRONG[name]

    outcome = matrix.outcome(name)

    assert (outcome["status"], outcome["stage"]) == ("unknown", "post"), outcome
    assert "may be sold" in outcome["reason"]
    assert "phone_number" not in outcome
    assert len(matrix.calls(zipcode, call)) == 1
    assert matrix.installation.lines("alarm", lead_id=name)


@pytest.mark.parametrize("name", PINGS)
def test_a_ping_whose_answer_went_wrong_is_sent_again_and_sold(matrix: House, name: str):
    """A ping costs nothing, so it is repeated inside the deadline."""
    assert matrix.outcome(name)["status"] == "sold"
    assert len(matrix.calls(PINGS[name], "ping")) == 2
    assert matrix.sales(name) == 1


def test_a_ping_that_is_never_answered_ends_expired_with_that_reason(matrix: House):
    """No call begins after the deadline, and the reason says what was last waited for."""
    outcome = matrix.outcome("x-ping-always")

    assert (outcome["status"], outcome["stage"]) == ("expired", "ping")
    assert "no answer within" in outcome["reason"]
    facts = matrix.story("x-ping-always").facts
    calls = matrix.calls("49000", "ping")
    assert len(calls) > 1
    assert all(datetime.fromisoformat(call["at"]) < facts.deadline_at for call in calls)


@pytest.fixture(scope="module")
def refused(matrix: House) -> House:
    """Leads whose first sale attempt is answered 1000 or 1100; after the matrix, which they would slow down."""
    for name in (*WRONG, *PINGS, "x-ping-always"):
        matrix.outcome(name)
    send(matrix, *((name, {"zipcode": zipcode, **flow_of(call)}) for name, (call, zipcode) in AGAIN.items()))
    return matrix


@pytest.mark.parametrize("name", AGAIN)
def test_a_sale_that_was_put_off_is_asked_for_again_and_made_once(refused: House, name: str):
    """1000 and 1100 prove that there was no sale: the same token is posted once more."""
    call, zipcode = AGAIN[name]

    outcome = refused.outcome(name)

    assert outcome["status"] == "sold", outcome
    calls = refused.calls(zipcode, call)
    assert [one["result"] for one in calls] == [name.rpartition("-")[2], "accepted"]
    assert len({one["token"] for one in calls}) == 1
    assert refused.sales(name) == 1


def test_a_post_that_is_refused_a_connection_is_tried_until_there_is_one(refused: House):
    """A connection that never opened proves that nothing was sent."""
    for name in AGAIN:
        refused.outcome(name)
    refused.posts.refuse()
    try:
        send(refused, ("x-refused", {"zipcode": "60000"}))
        refused.installation.wait_for_line("buyer.call", lead_id="x-refused", stage="post", result="unanswered")
    finally:
        refused.posts.listen()

    assert refused.outcome("x-refused")["status"] == "sold"
    assert refused.sales("x-refused") == 1
    assert len(refused.calls("60000", "post")) == 1


@pytest.mark.parametrize("call", ["one_step", "direct_post"])
def test_a_single_call_that_is_refused_a_connection_is_tried_until_there_is_one(refused: House, call: str):
    """The same for calls that need no ping."""
    name = f"x-refused-{call}"
    for put_off in AGAIN:
        refused.outcome(put_off)
    refused.buyer.stop()
    try:
        send(refused, (name, {"zipcode": "61000", **flow_of(call)}))
        refused.installation.wait_for_line("buyer.call", lead_id=name, result="unanswered")
    finally:
        refused.buyer.start()

    assert refused.outcome(name)["status"] == "sold"
    assert refused.sales(name) == 1


def test_no_token_was_posted_again_after_a_post_that_may_have_been_taken(refused: House):
    """The buyer's own book finds no fault with anything that this module did."""
    book = refused.buyer.book()

    assert book["repeats"] == []
    assert book["doubles"] == []
    assert book["resold"] == []
    assert book["violations"] == []

"""A broker that goes away: at the worst moments, and comes back."""

from __future__ import annotations

from tests.faults.conftest import House, send


def test_a_connection_that_is_cut_in_mid_ping_makes_two_copies_of_which_one_wins(cuttable: House):
    """The broker hands the message out again while the first copy still runs."""
    assert cuttable.broker is not None
    send(cuttable, ("b-cut", {"zipcode": "50030"}))
    cuttable.wait_for_call("50030", "ping")

    assert cuttable.broker.cut() > 0

    assert cuttable.outcome("b-cut")["status"] == "sold"
    assert cuttable.sales("b-cut") == 1
    assert cuttable.buyer.book()["repeats"] == []


def test_a_connection_that_is_cut_in_mid_post_changes_nothing(cuttable: House):
    """The copy that comes again finds a post under way, and keeps its hands off."""
    assert cuttable.broker is not None
    send(cuttable, ("b-cut-post", {"zipcode": "30030"}))
    cuttable.wait_for_call("30030", "post")

    assert cuttable.broker.cut() > 0

    assert cuttable.outcome("b-cut-post")["status"] == "sold"
    assert len(cuttable.calls("30030", "post")) == 1


def test_a_sale_that_could_not_be_told_is_told_when_the_broker_is_back(cuttable: House):
    """The outcome is committed before it is told: the sweep tells what could not be."""
    assert cuttable.broker is not None
    send(cuttable, ("b-untold", {"zipcode": "30031", "flow": "one_step"}))
    cuttable.wait_for_call("30031", "one_step")
    cuttable.broker.refuse()
    try:
        cuttable.installation.wait_for_line("outcome.untold", lead_id="b-untold", within_s=40)
    finally:
        cuttable.broker.listen()

    assert cuttable.outcome("b-untold")["status"] == "sold"
    assert cuttable.sales("b-untold") == 1


def test_a_bid_whose_post_could_not_be_sent_on_its_way_is_posted_when_the_broker_is_back(chained: House):
    """A broker that is away between ping and post is no fault of the lead's, where the post goes by it."""
    assert chained.broker is not None
    send(chained, ("b-bid", {"zipcode": "50031", "deadline_s": 60}))
    chained.wait_for_call("50031", "ping")
    chained.broker.refuse()
    try:
        chained.installation.wait_for_line("buyer.call", lead_id="b-bid", result="bid")
        chained.installation.wait_for_line("chain.unsent", lead_id="b-bid", within_s=40)
    finally:
        chained.broker.listen()

    assert chained.outcome("b-bid")["status"] == "sold"
    assert chained.sales("b-bid") == 1


def test_a_bid_is_posted_without_the_broker_by_the_worker_that_has_it(cuttable: House):
    """The outcome is told when the broker is back."""
    assert cuttable.broker is not None
    send(cuttable, ("b-alone", {"zipcode": "50032", "deadline_s": 60}))
    cuttable.wait_for_call("50032", "ping")
    cuttable.broker.refuse()
    try:
        cuttable.installation.wait_for_line("buyer.call", lead_id="b-alone", result="sale", within_s=40)
    finally:
        cuttable.broker.listen()

    assert cuttable.outcome("b-alone")["status"] == "sold"
    assert cuttable.sales("b-alone") == 1

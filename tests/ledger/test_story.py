"""A lead's story: every step with its facts, what it waits for, and never who the caller is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tasks.core.money import Money
from tasks.core.outcome import Status
from tasks.core.protocol import Call
from tasks.core.states import State
from tasks.ledger import Ledger, Move
from tasks.ledger.story import Story, story
from tests.ledger.stories import (
    AGAIN,
    SALE,
    age,
    arrival,
    bring,
    claimed,
    end,
    exchange,
    sold,
    standing,
    take_in,
)


def tell(ledger: Ledger, lead_id: str = "L1") -> Story:
    told = ledger.read(lambda connection: story(connection, lead_id))
    assert told is not None
    return told


def test_an_id_that_the_ledger_never_heard_of_has_no_story(ledger: Ledger):
    assert ledger.read(lambda connection: story(connection, "nobody")) is None


def test_a_sale_is_told_step_by_step(ledger: Ledger):
    mine = claimed(ledger, take_in(ledger, reply="answers"), Call.PING)
    again = Move(State.RECEIVED, values={"last_code": 1000, "last_reason": AGAIN.reason})
    ledger.settle(mine, exchange(Call.PING, AGAIN), again)
    mine = claimed(ledger, standing(ledger), Call.PING)
    ledger.move(mine, Move(State.BID, values={"token": "token-1", "price_quoted": 12_500_000}))
    mine = claimed(ledger, standing(ledger), Call.POST)
    ledger.settle(mine, exchange(Call.POST, SALE), sold(mine))
    told = tell(ledger)
    assert [(it.call, it.number, it.result, it.code, it.price) for it in told.attempts] == [
        (Call.PING, 1, "refusal", 1000, None),
        (Call.POST, 1, "sale", None, SALE.price),
    ]
    assert told.attempts[0].request == {"numcategory": "16001", "key": "***"}
    facts = told.facts
    assert facts is not None
    assert (facts.state, facts.status, facts.pings, facts.posts) == (State.SOLD, "sold", 2, 1)
    assert (facts.price_quoted, facts.price_confirmed) == (Money.parse("12.50"), SALE.price)
    assert facts.received_at <= facts.posted_at <= facts.changed_at <= told.read_at
    assert [(it.address, it.told_at) for it in told.askers] == [("answers", None)]


@pytest.mark.parametrize("state", list(State))
def test_no_story_holds_the_caller(ledger: Ledger, state: State):
    bring(ledger, state)
    assert "Zebulon" not in repr(tell(ledger))


def test_a_message_that_was_never_a_lead_has_its_reason(ledger: Ledger):
    ledger.refuse("L1", "zipcode: required")
    told = tell(ledger)
    assert told.facts is None
    assert [rejected.reason for rejected in told.rejected] == ["zipcode: required"]
    assert told.waits_for is None


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (State.RECEIVED, "a worker that takes its ping"),
        (State.PINGING, "the buyer's answer to a ping"),
        (State.BID, "a worker that takes its post"),
        (State.POSTING, "the buyer's answer to a post"),
        (State.SOLD, "its outcome has not reached the broker yet; the sweep tells it again"),
    ],
)
def test_a_story_says_what_the_lead_waits_for(ledger: Ledger, state: State, words: str):
    bring(ledger, state)
    age(ledger, 1, "due_at") if state in (State.RECEIVED, State.BID) else None
    assert tell(ledger).waits_for == words


def test_a_postponed_step_says_when_it_is_due_and_why(ledger: Ledger):
    row = take_in(ledger)
    ledger.postpone(row, 10_000, {"last_code": 1000, "last_reason": "Server under maintenance"})
    words = tell(ledger).waits_for
    assert words is not None
    assert words.startswith("the next ping, due ")
    assert words.endswith(" UTC, since 1000 Server under maintenance")


def test_a_lead_beyond_its_deadline_waits_for_its_end(ledger: Ledger):
    take_in(ledger)
    age(ledger, 60_000, "deadline_at")
    assert tell(ledger).waits_for == "its end: the deadline has passed"


def test_a_call_whose_worker_died_waits_for_the_sweep(ledger: Ledger):
    bring(ledger, State.POSTING)
    age(ledger, 60_000, "due_at")
    assert tell(ledger).waits_for == "the buyer's answer to a post; it never came, and the sweep sees to it"


def test_a_told_lead_waits_only_for_addresses_that_were_left_later(ledger: Ledger):
    mine = bring(ledger, State.PINGING)
    ledger.accept([arrival(reply="left")])
    ledger.move(mine, end(mine, Status.REJECTED))
    untold = ledger.untold_of("L1")
    assert untold is not None
    ledger.mark_told(replace(untold, replies=()))
    assert tell(ledger).waits_for == "its outcome has to be told to left"
    ledger.mark_told(untold)
    assert tell(ledger).waits_for is None


def test_a_late_sale_is_marked_as_too_late(ledger: Ledger):
    mine = bring(ledger, State.POSTING)
    ledger.move(mine, end(mine, Status.UNKNOWN))
    ledger.settle(mine, exchange(Call.POST, SALE), sold(mine))
    told = tell(ledger)
    assert told.attempts[-1].stale
    assert told.facts is not None
    assert (told.facts.status, told.facts.price_confirmed) == ("unknown", SALE.price)

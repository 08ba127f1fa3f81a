"""Moves: written where state and epoch still match, and only those that the table of states knows."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from unittest.mock import patch

import pytest
from sqlalchemy.exc import SQLAlchemyError

from tasks.core.money import Money
from tasks.core.outcome import Status
from tasks.core.protocol import Call
from tasks.core.reasons import Refusal, Unanswered, Unreadable
from tasks.core.sale import Sale
from tasks.core.states import FINAL, MOVES, State
from tasks.ledger import LeadRow, Ledger, Move
from tasks.ledger import moves as ledger_moves
from tasks.ledger.moves import ANSWER_KEPT, ForbiddenMove
from tests.ledger.stories import (
    AGAIN,
    BID,
    ENDS,
    SALE,
    at_once,
    attempts_of,
    bid_move,
    bring,
    claimed,
    columns,
    end,
    exchange,
    outcome,
    sold,
    standing,
    take_in,
)

CLAIMS = {State.PINGING, State.POSTING}
OPEN = [state for state in State if not state.final]


def step_to(row: LeadRow, target: State) -> Move:
    if target.final:
        return Move(target, outcome=outcome(row, Status(target.value)))
    return Move(target)


@pytest.mark.parametrize("target", list(State))
@pytest.mark.parametrize("source", list(State))
def test_the_ledger_makes_the_moves_of_the_table_and_no_other(ledger: Ledger, source: State, target: State):
    row = bring(ledger, source)
    before = columns(ledger)
    if target in MOVES[source] and target not in CLAIMS:
        assert ledger.move(row, step_to(row, target))
        assert standing(ledger).state is target
        return
    with pytest.raises(ForbiddenMove):
        ledger.move(row, step_to(row, target))
    assert columns(ledger) == before


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(lambda _row: Move(State.REJECTED), id="an end without an outcome"),
        pytest.param(lambda row: Move(State.REJECTED, outcome=outcome(row, Status.FAILED)), id="another end's outcome"),
        pytest.param(lambda row: Move(State.BID, outcome=outcome(row, Status.SOLD)), id="an outcome before the end"),
    ],
)
def test_an_end_and_its_outcome_are_one(ledger: Ledger, step: Callable[[LeadRow], Move]):
    row = bring(ledger, State.PINGING)
    with pytest.raises(ForbiddenMove):
        ledger.move(row, step(row))
    assert standing(ledger).state is State.PINGING


def test_a_ping_to_be_repeated_goes_back_to_received_and_is_due_later(ledger: Ledger):
    mine = bring(ledger, State.PINGING)
    values = {"last_code": 1000, "last_reason": "Server under maintenance"}
    assert ledger.settle(mine, exchange(Call.PING, AGAIN), Move(State.RECEIVED, 700, values=values))
    row = standing(ledger)
    assert (row.state, row.last_code, row.last_reason) == (State.RECEIVED, 1000, "Server under maintenance")
    assert row.due_ms - columns(ledger)["changed_at"] in range(695, 706)
    assert claimed(ledger, row, Call.PING).pings == 2


def test_a_post_that_was_proven_no_sale_goes_back_to_its_bid_and_is_claimed_again(ledger: Ledger):
    mine = bring(ledger, State.POSTING)
    assert ledger.settle(mine, exchange(Call.POST, AGAIN), Move(State.BID, 100))
    row = standing(ledger)
    assert (row.state, row.token) == (State.BID, "token-1")
    assert claimed(ledger, row, Call.POST).posts == 2


@pytest.mark.parametrize("call", [Call.ONE_STEP, Call.DIRECT_POST])
def test_a_call_without_a_bid_goes_back_to_received(ledger: Ledger, call: Call):
    mine = claimed(ledger, take_in(ledger, call=call), call)
    assert ledger.settle(mine, exchange(call, AGAIN), Move(State.RECEIVED, 100))
    assert standing(ledger).state is State.RECEIVED


def test_an_end_stores_its_outcome_in_the_same_transaction(ledger: Ledger):
    mine = bring(ledger, State.POSTING)
    step = sold(mine)
    assert ledger.settle(mine, exchange(Call.POST, SALE), step)
    row = columns(ledger)
    assert step.outcome is not None
    assert json.loads(row["outcome"]) == step.outcome.message()
    assert (row["state"], row["status"], row["phone_number"]) == ("sold", "sold", SALE.phone_number)
    assert (row["price_quoted"], row["price_confirmed"]) == (12_500_000, 12_000_000)
    assert row["forward_by"] - row["ended_at"] == 30_000
    assert row["told_at"] is None


def test_where_the_attempt_cannot_be_written_neither_is_the_outcome(ledger: Ledger):
    mine = bring(ledger, State.POSTING)
    before = columns(ledger)
    with (
        patch.object(ledger_moves, "_append_attempt", side_effect=SQLAlchemyError("no")),
        pytest.raises(SQLAlchemyError),
    ):
        ledger.settle(mine, exchange(Call.POST, SALE), sold(mine))
    assert columns(ledger) == before
    assert len(attempts_of(ledger)) == 1, "the ping's"


@pytest.mark.parametrize("end_state", ENDS)
def test_a_lead_at_its_end_never_moves_again(ledger: Ledger, end_state: State):
    stale = bring(ledger, State.POSTING)
    assert ledger.move(stale, step_to(stale, end_state))
    before = columns(ledger)
    for again in FINAL:
        assert not ledger.move(stale, step_to(stale, again))
    assert not ledger.postpone(stale, 1000)
    assert columns(ledger) == before


def test_of_many_ends_at_once_exactly_one_is_the_outcome(open_ledger: Callable[[], Ledger]):
    ledgers = [open_ledger() for _ in range(4)]
    mine = bring(ledgers[0], State.POSTING)
    steps = [sold(mine), end(mine, Status.UNKNOWN), end(mine, Status.REJECTED), end(mine, Status.FAILED)]
    done = at_once([lambda it=it, step=step: it.move(mine, step) for it, step in zip(ledgers, steps, strict=True)])
    assert sorted(done, key=bool) == [False, False, False, True]
    winner = steps[done.index(True)]
    assert winner.outcome is not None
    assert json.loads(columns(ledgers[0])["outcome"]) == winner.outcome.message()


def test_a_late_sale_leaves_its_facts_on_an_unknown_lead_and_no_second_outcome(ledger: Ledger):
    mine = bring(ledger, State.POSTING)
    assert ledger.move(mine, end(mine, Status.UNKNOWN, reason="the answer never came"))
    told = columns(ledger)
    assert not ledger.settle(mine, exchange(Call.POST, SALE), sold(mine))
    now = columns(ledger)
    assert (now["phone_number"], now["price_confirmed"]) == (SALE.phone_number, 12_000_000)
    assert {name for name in now if now[name] != told[name]} == {"phone_number", "price_confirmed"}
    assert [(it["call"], it["result"], it["stale"]) for it in attempts_of(ledger)] == [
        ("ping", "bid", False),
        ("post", "sale", True),
    ]


def test_a_late_one_step_sale_leaves_its_token_and_call_duration_too(ledger: Ledger):
    """The buyer's statement names it by them."""
    row = take_in(ledger, call=Call.ONE_STEP)
    mine = claimed(ledger, row, Call.ONE_STEP)
    assert ledger.move(mine, end(mine, Status.UNKNOWN, reason="the answer never came"))
    sale = replace(SALE, token="t-late", duration_s=77)
    assert not ledger.settle(mine, exchange(Call.ONE_STEP, sale), sold(mine, sale))
    now = columns(ledger)
    assert (now["token"], now["duration_s"], now["state"]) == ("t-late", 77, "unknown")


@pytest.mark.parametrize(
    "answer", [Refusal(5000, "No coverage or buyers"), Unreadable("no status"), Unanswered("reset")]
)
def test_any_other_late_answer_leaves_its_attempt_alone(ledger: Ledger, answer: Refusal | Unreadable | Unanswered):
    mine = bring(ledger, State.POSTING)
    assert ledger.move(mine, end(mine, Status.UNKNOWN))
    before = columns(ledger)
    assert not ledger.settle(mine, exchange(Call.POST, answer), end(mine, Status.REJECTED))
    assert columns(ledger) == before
    assert attempts_of(ledger)[-1]["stale"]


def test_a_late_sale_leaves_no_facts_on_a_lead_that_ended_otherwise(ledger: Ledger):
    mine = bring(ledger, State.POSTING)
    assert ledger.move(mine, end(mine, Status.FAILED))
    before = columns(ledger)
    assert not ledger.settle(mine, exchange(Call.POST, SALE), sold(mine))
    assert columns(ledger) == before


def test_a_call_that_is_settled_twice_is_written_once_and_answers_the_same(ledger: Ledger):
    mine = bring(ledger, State.POSTING)
    step = sold(mine)
    assert ledger.settle(mine, exchange(Call.POST, SALE), step)
    before = columns(ledger)
    assert ledger.settle(mine, exchange(Call.POST, SALE), step), "its first commit was in doubt, and it was the winner"
    assert columns(ledger) == before
    assert len(attempts_of(ledger)) == 2
    slow = bring(ledger, State.PINGING, "L2")
    claimed(ledger, slow, Call.PING)
    for _ in range(2):
        assert not ledger.settle(slow, exchange(Call.PING, BID), bid_move())
    assert len(attempts_of(ledger, "L2")) == 1


def test_an_attempt_keeps_what_was_asked_and_answered(ledger: Ledger):
    mine = bring(ledger, State.PINGING)
    assert ledger.settle(mine, exchange(Call.PING, AGAIN, raw="x" * (ANSWER_KEPT + 1)), Move(State.RECEIVED))
    (attempt,) = attempts_of(ledger)
    assert (attempt["call"], attempt["number"], attempt["http_status"], attempt["duration_ms"]) == ("ping", 1, 200, 12)
    assert (attempt["result"], attempt["code"], attempt["reason"]) == ("refusal", 1000, "Server under maintenance")
    assert attempt["answer"] == "x" * ANSWER_KEPT
    assert json.loads(attempt["request"]) == {"numcategory": "16001", "key": "***"}
    assert attempt["at"] == mine.read_ms


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Sale("800\x00555", Money(1), None, "t\0k"), id="nul"),
        pytest.param(Sale("800\ud800555", Money(1), None, "t" * 3000), id="surrogate and length"),
        pytest.param(Refusal(5000, "no\0\ud800\n☎"), id="words"),
    ],
)
def test_no_word_of_the_buyer_s_keeps_a_call_from_being_written(ledger: Ledger, answer: Sale | Refusal):
    mine = bring(ledger, State.POSTING)
    reason = answer.reason if isinstance(answer, Refusal) else "a\0b\udfff"
    step = Move(
        State.REJECTED,
        outcome=outcome(mine, Status.REJECTED, reason=reason),
        values={"last_reason": reason},
    )
    assert ledger.settle(mine, exchange(Call.POST, answer, raw="<a>\0\ud800</a>"), step)
    assert attempts_of(ledger)[-1]["answer"].startswith("<a>\N{REPLACEMENT CHARACTER}")


def test_a_late_sale_with_strange_words_is_kept_too(ledger: Ledger):
    mine = bring(ledger, State.POSTING)
    assert ledger.move(mine, end(mine, Status.UNKNOWN))
    assert not ledger.settle(mine, exchange(Call.POST, Sale("800\x00555")), sold(mine))
    assert columns(ledger)["phone_number"] == "800\N{REPLACEMENT CHARACTER}555"


@pytest.mark.parametrize("state", OPEN)
def test_a_step_is_postponed_where_the_lead_still_stands(ledger: Ledger, state: State):
    row = bring(ledger, state)
    assert ledger.postpone(row, 60_000, {"last_code": 1100, "last_reason": "slow"})
    later = standing(ledger)
    assert later.due_ms > row.read_ms + 59_000
    assert (later.state, later.epoch, later.last_code) == (row.state, row.epoch, 1100)


def test_a_moved_lead_is_not_postponed(ledger: Ledger):
    row = take_in(ledger)
    claimed(ledger, row, Call.PING)
    before = columns(ledger)
    assert not ledger.postpone(row, 60_000)
    assert columns(ledger) == before


def test_what_nobody_knows_cannot_be_read_moved_or_claimed(ledger: Ledger):
    assert ledger.lead("nobody") is None
    row = take_in(ledger)
    stranger = row._replace(lead_id="nobody")
    assert ledger.claim(stranger, Call.PING, 1000) is None
    assert not ledger.move(stranger, end(stranger, at=datetime.now(UTC)))

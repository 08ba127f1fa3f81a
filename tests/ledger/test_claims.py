"""Claims: a step begins with one conditional UPDATE, and of two copies one wins."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tasks.core.protocol import Call
from tasks.core.states import State
from tasks.ledger import Ledger, Move
from tasks.ledger.moves import READY, ForbiddenMove
from tests.ledger.stories import (
    AGAIN,
    BID,
    BUDGET_MS,
    age,
    at_once,
    attempts_of,
    bid_move,
    bring,
    claimed,
    columns,
    exchange,
    standing,
    take_in,
)

SELLING = [call for call in Call if call.sells]


@pytest.mark.parametrize("call", list(Call))
def test_of_many_copies_of_a_step_exactly_one_wins_the_claim(open_ledger: Callable[[], Ledger], call: Call):
    ledgers = [open_ledger() for _ in range(4)]
    for round_ in range(5):
        lead_id = f"L{round_}"
        row = (
            bring(ledgers[0], State.BID, lead_id)
            if call is Call.POST
            else take_in(ledgers[0], lead_id, call if call.sells else Call.PING)
        )
        claims = at_once([lambda it=it, row=row: it.claim(row, call, BUDGET_MS) for it in ledgers * 2])
        won = [claim for claim in claims if claim is not None]
        assert len(won) == 1, claims
        assert won[0].epoch == row.epoch + 1
        assert columns(ledgers[0], lead_id)["pings" if call is Call.PING else "posts"] == 1


def test_a_ping_s_claim_says_when_its_call_must_have_ended(ledger: Ledger):
    mine = claimed(ledger, take_in(ledger), Call.PING)
    assert (mine.state, mine.epoch, mine.pings, mine.posts) == (State.PINGING, 1, 1, 0)
    assert mine.due_ms - columns(ledger)["changed_at"] in range(BUDGET_MS - 5, BUDGET_MS + 6)
    assert columns(ledger)["posted_at"] is None


@pytest.mark.parametrize("call", SELLING)
def test_a_selling_call_is_posting_before_its_first_byte(ledger: Ledger, open_ledger: Callable[[], Ledger], call: Call):
    row = bring(ledger, State.BID) if call is Call.POST else take_in(ledger, call=call)
    claimed(ledger, row, call)
    seen = columns(open_ledger())  # by others, so it is committed
    assert (seen["state"], seen["posts"]) == ("posting", 1)
    assert seen["posted_at"] is not None


@pytest.mark.parametrize("call", SELLING)
def test_what_finds_posting_does_not_post(ledger: Ledger, call: Call):
    row = bring(ledger, State.POSTING)
    before = columns(ledger)
    with pytest.raises(ForbiddenMove):
        ledger.claim(row, call, BUDGET_MS)
    assert columns(ledger) == before


@pytest.mark.parametrize("state", [State.PINGING, State.BID, State.POSTING, State.SOLD, State.UNKNOWN])
@pytest.mark.parametrize("call", list(Call))
def test_a_call_is_claimed_from_its_own_state_alone(ledger: Ledger, call: Call, state: State):
    row = bring(ledger, state)
    if state is READY[call] or (call is Call.PING and state is State.PINGING):
        assert ledger.claim(row, call, BUDGET_MS) is not None
        return
    before = columns(ledger)
    with pytest.raises(ForbiddenMove):
        ledger.claim(row, call, BUDGET_MS)
    assert columns(ledger) == before


def test_a_post_is_never_claimed_without_a_bid(ledger: Ledger):
    row = take_in(ledger)
    with pytest.raises(ForbiddenMove):
        ledger.claim(row, Call.POST, BUDGET_MS)


def test_a_ping_that_a_dead_worker_left_is_claimed_anew_and_the_old_one_writes_nothing_but_its_attempt(ledger: Ledger):
    slow = claimed(ledger, take_in(ledger), Call.PING)
    fresh = claimed(ledger, standing(ledger), Call.PING)
    before = columns(ledger)
    assert not ledger.settle(slow, exchange(Call.PING, BID), bid_move())
    assert columns(ledger) == before
    assert [(it["number"], it["stale"], it["token"]) for it in attempts_of(ledger)] == [(1, True, "token-1")]
    assert ledger.settle(fresh, exchange(Call.PING, AGAIN), Move(State.RECEIVED, 100))
    assert standing(ledger).token is None, "the older token is dropped"


@pytest.mark.parametrize("call", list(Call))
def test_a_claim_gives_the_lead_as_it_stands_then(ledger: Ledger, call: Call):
    row = bring(ledger, State.BID) if call is Call.POST else take_in(ledger, call=call)
    mine, now = claimed(ledger, row, call), standing(ledger)
    assert mine == now._replace(read_ms=mine.read_ms, read_at=mine.read_at)


def test_an_old_row_claims_nothing(ledger: Ledger):
    seen = take_in(ledger)
    mine = claimed(ledger, seen, Call.PING)
    assert ledger.settle(mine, exchange(Call.PING, AGAIN), Move(State.RECEIVED))
    before = columns(ledger)
    assert ledger.claim(seen, Call.PING, BUDGET_MS) is None, "same state, older epoch"
    assert columns(ledger) == before


@pytest.mark.parametrize("call", list(Call))
def test_no_call_begins_after_the_deadline(ledger: Ledger, call: Call):
    row = bring(ledger, State.BID) if call is Call.POST else take_in(ledger, call=call)
    age(ledger, 20_001, "deadline_at")
    before = columns(ledger)
    assert ledger.claim(row, call, BUDGET_MS) is None
    assert columns(ledger) == before


def test_the_deadline_is_reckoned_by_the_database_s_clock(ledger: Ledger, monkeypatch: pytest.MonkeyPatch):
    row = take_in(ledger)
    monkeypatch.setattr("time.time", lambda: 4e9)  # this machine's clock is decades ahead
    assert ledger.claim(row, Call.PING, BUDGET_MS) is not None


def test_a_row_tells_the_database_s_time_as_it_passes(ledger: Ledger):
    row = take_in(ledger, deadline_s=20)
    assert 0 < row.remaining_s <= 20
    assert row.now_ms >= row.read_ms
    assert abs(row.read_ms - datetime.now(UTC).timestamp() * 1000) < timedelta(minutes=1).total_seconds() * 1000

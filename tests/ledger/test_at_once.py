"""What is written in one statement is what two would write, one after the other, and no more of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tasks.core.bid import Bid
from tasks.core.limits import Limit
from tasks.core.protocol import Call
from tasks.core.states import State
from tasks.core.verdict import Accepted
from tasks.ledger import LeadRow, Ledger, Move
from tasks.ledger.limits import Take
from tasks.ledger.moves import ForbiddenMove, Unsettled
from tasks.results import GoOn, move_of
from tests.ledger.stories import (
    BID,
    BUDGET_MS,
    age,
    attempts_of,
    claimed,
    columns,
    end,
    exchange,
    standing,
    take_in,
)

NO_SERVICES: Any = None  # a bid asks none
TIMES = ("received_at", "deadline_at", "changed_at", "due_at", "posted_at", "at")


def bid_for(ledger: Ledger, lead_id: str, bid: Bid = BID) -> tuple[Unsettled, LeadRow]:
    """A lead for which the buyer bids: what is to be written of it, and the lead as it will stand then."""
    mine = claimed(ledger, take_in(ledger, lead_id), Call.PING)
    move, following = move_of(NO_SERVICES, Call.PING, mine, Accepted(bid))
    assert isinstance(following, GoOn)
    assert following.over is not None
    return Unsettled(mine, exchange(Call.PING, bid), move), following.over.row


def written(ledger: Ledger, lead_id: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """All that the ledger has of a lead, but when and of which."""

    def of_any(row: dict[str, Any]) -> dict[str, Any]:
        return {
            name: value
            for name, value in row.items()
            if name not in (*TIMES, "id", "lead_id", "customid", "fingerprint")
        }

    return of_any(columns(ledger, lead_id)), [of_any(row) for row in attempts_of(ledger, lead_id)]


def test_a_bid_and_the_claim_of_its_post_are_as_one_after_the_other(ledger: Ledger):
    after, row = bid_for(ledger, "L1")
    at_once = ledger.claim(row, Call.POST, BUDGET_MS, after=after)
    after, row = bid_for(ledger, "L2")
    assert ledger.settle(after.claimed, after.exchange, after.step)
    in_turn = ledger.claim(standing(ledger, "L2"), Call.POST, BUDGET_MS)
    assert isinstance(at_once, LeadRow)
    assert isinstance(in_turn, LeadRow)
    assert written(ledger, "L1") == written(ledger, "L2")
    now = standing(ledger, "L1")
    assert at_once == now._replace(read_ms=at_once.read_ms, read_at=at_once.read_at)
    assert (at_once.state, at_once.epoch, at_once.token) == (in_turn.state, in_turn.epoch, in_turn.token)


@pytest.mark.parametrize("token", ["token-1", "half a pair \ud800", "a NUL \0", "ünïcode"])
def test_a_bid_that_is_carried_on_is_the_one_that_is_written_down(ledger: Ledger, token: str):
    after, carried = bid_for(ledger, "L1", replace(BID, token=token))
    assert ledger.settle(after.claimed, after.exchange, after.step)
    its_times = {name: getattr(carried, name) for name in ("read_ms", "read_at", "changed_ms", "due_ms")}
    assert carried == standing(ledger, "L1")._replace(**its_times)


def test_where_another_copy_was_first_the_bid_is_a_stale_attempt(ledger: Ledger):
    after, row = bid_for(ledger, "L1")
    fresh = claimed(ledger, standing(ledger, "L1"), Call.PING)
    before = columns(ledger, "L1")
    assert ledger.claim(row, Call.POST, BUDGET_MS, after=after) is None
    assert columns(ledger, "L1") == before
    assert [(it["number"], it["stale"]) for it in attempts_of(ledger, "L1")] == [(1, True)]
    assert ledger.settle(fresh, exchange(Call.PING, BID), after.step)


def test_after_the_deadline_the_bid_is_written_and_no_post_begins(ledger: Ledger):
    after, row = bid_for(ledger, "L1")
    age(ledger, 20_001, "deadline_at")
    assert ledger.claim(row, Call.POST, BUDGET_MS, after=after) is None
    assert standing(ledger, "L1").state is State.BID
    assert [it["stale"] for it in attempts_of(ledger, "L1")] == [False]


def test_with_limits_of_one_s_own_it_is_one_after_the_other(ledger: Ledger):
    """Their room is counted beside the claim; where there is none, the bid is written all the same."""
    after, row = bid_for(ledger, "L1")
    take = Take("2026-11-27", (Limit("partner", sales=1),), sales=1)
    assert isinstance(ledger.claim(row, Call.POST, BUDGET_MS, take, after=after), LeadRow)
    after, row = bid_for(ledger, "L2")
    assert not isinstance(ledger.claim(row, Call.POST, BUDGET_MS, take, after=after), LeadRow)
    assert standing(ledger, "L2").state is State.BID


def test_written_again_it_begins_nothing(ledger: Ledger):
    """Its first commit was in doubt, and had gone well: whether the first byte left, nobody knows."""
    after, row = bid_for(ledger, "L1")
    assert isinstance(ledger.claim(row, Call.POST, BUDGET_MS, after=after), LeadRow)
    before = written(ledger, "L1")
    assert ledger.claim(row, Call.POST, BUDGET_MS, after=after) is None
    assert written(ledger, "L1") == before


@pytest.mark.parametrize("target", [State.RECEIVED, State.REJECTED, State.SOLD])
def test_only_a_bid_is_followed_by_a_post(ledger: Ledger, target: State):
    after, row = bid_for(ledger, "L1")
    outcome = end(after.claimed).outcome if target is State.REJECTED else None
    other = replace(after, step=Move(target, outcome=outcome))
    with pytest.raises(ForbiddenMove):
        ledger.claim(row, Call.POST, BUDGET_MS, after=other)
    assert standing(ledger, "L1").state is State.PINGING


def test_only_a_lead_with_a_bid_is_posted(ledger: Ledger):
    after, _ = bid_for(ledger, "L1")
    with pytest.raises(ForbiddenMove):
        ledger.claim(after.claimed, Call.POST, BUDGET_MS, after=after)

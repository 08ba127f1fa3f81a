from __future__ import annotations

from collections.abc import Iterable

import pytest

from tasks.core.outcome import Status
from tasks.core.states import FINAL, MOVES, State, may_move

PROVEN_NO_SALE = {(State.POSTING, State.BID), (State.POSTING, State.RECEIVED)}
EDGES = {(source, target) for source, targets in MOVES.items() for target in targets}


def reachable(start: State, edges: Iterable[tuple[State, State]]) -> set[State]:
    """Give every state that one or more moves from `start` lead to."""
    edges = set(edges)
    found: set[State] = set()
    front = {start}
    while front:
        front = {target for source, target in edges if source in front} - found
        found |= front
    return found


def test_every_state_has_its_row_of_moves() -> None:
    assert set(MOVES) == set(State)


@pytest.mark.parametrize("state", State)
def test_a_state_is_final_exactly_where_no_move_leads_out(state: State) -> None:
    assert state.final is (not MOVES[state])
    assert state.final is (state in FINAL)


def test_every_state_can_be_reached_from_the_front_door() -> None:
    assert reachable(State.RECEIVED, EDGES) >= set(State)


@pytest.mark.parametrize("state", [state for state in State if not state.final])
def test_every_open_lead_can_still_come_to_an_end(state: State) -> None:
    assert reachable(state, EDGES) & FINAL


def test_a_lead_is_posted_again_only_after_an_answer_that_proves_no_sale() -> None:
    assert State.POSTING in reachable(State.POSTING, EDGES)
    assert State.POSTING not in reachable(State.POSTING, EDGES - PROVEN_NO_SALE)


@pytest.mark.parametrize("state", [State.SOLD, State.UNKNOWN])
def test_only_a_post_can_end_in_a_sale_or_in_doubt(state: State) -> None:
    assert {source for source, target in EDGES if target is state} == {State.POSTING}


def test_a_bid_comes_from_a_ping_or_back_from_a_post_that_proved_no_sale() -> None:
    assert {source for source, target in EDGES if target is State.BID} == {State.PINGING, State.POSTING}


@pytest.mark.parametrize(
    ("source", "target", "allowed"),
    [
        (State.RECEIVED, State.PINGING, True),
        (State.RECEIVED, State.POSTING, True),
        (State.RECEIVED, State.BID, False),
        (State.PINGING, State.RECEIVED, True),
        (State.PINGING, State.PINGING, True),
        (State.PINGING, State.POSTING, False),
        (State.BID, State.POSTING, True),
        (State.BID, State.PINGING, False),
        (State.POSTING, State.BID, True),
        (State.POSTING, State.POSTING, False),
        (State.POSTING, State.PINGING, False),
        (State.UNKNOWN, State.SOLD, False),
        (State.UNKNOWN, State.POSTING, False),
    ],
)
def test_the_moves_are_those_of_the_architecture(source: State, target: State, *, allowed: bool) -> None:
    assert may_move(source, target) is allowed


def test_every_final_state_is_a_status_that_producers_are_told() -> None:
    told = {status.value for status in Status} - {Status.INVALID.value}  # invalid leads never enter the chain
    assert {state.value for state in FINAL} == told

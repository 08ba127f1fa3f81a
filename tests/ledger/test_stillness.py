"""Leads that stand still: found by the sweep, and none that somebody may be working on."""

from __future__ import annotations

import pytest

from tasks.core.states import State
from tasks.ledger import GateRow, Ledger
from tests.ledger.stories import age, bring, standing, take_in

LIMITS = {"message_ms": 5_000, "call_ms": 3_000, "limit": 100}
WAITING = [State.RECEIVED, State.BID]
CALLING = [State.PINGING, State.POSTING]


def still(ledger: Ledger) -> list[str]:
    return [row.lead_id for row in ledger.standing_still(**LIMITS)]


@pytest.mark.parametrize("state", WAITING + CALLING)
def test_a_lead_that_is_under_way_is_left_alone(ledger: Ledger, state: State):
    bring(ledger, state)
    assert still(ledger) == []


@pytest.mark.parametrize("state", WAITING)
def test_a_lead_whose_message_is_overdue_stands_still(ledger: Ledger, state: State):
    bring(ledger, state)
    age(ledger, 4_000, "due_at")
    assert still(ledger) == []
    age(ledger, 1_001, "due_at")
    (row,) = ledger.standing_still(**LIMITS)
    assert (row.lead_id, row.state) == ("L1", state)


@pytest.mark.parametrize("state", WAITING)
def test_a_lead_that_waits_beyond_its_deadline_stands_still_at_once(ledger: Ledger, state: State):
    row = bring(ledger, state)
    ledger.postpone(row, 60_000)
    assert still(ledger) == []
    age(ledger, 20_001, "deadline_at")
    assert still(ledger) == ["L1"]


@pytest.mark.parametrize("state", CALLING)
def test_a_call_stands_still_only_when_its_whole_budget_and_the_margin_are_over(ledger: Ledger, state: State):
    bring(ledger, state)
    age(ledger, 60_000, "deadline_at")
    assert still(ledger) == [], "its deadline has passed, and its answer may still come"
    age(ledger, 7_000, "due_at")  # the budget is 5 s
    assert still(ledger) == []
    age(ledger, 1_001, "due_at")
    assert still(ledger) == ["L1"]


@pytest.mark.parametrize("state", [State.SOLD, State.UNKNOWN, State.FAILED])
def test_a_lead_at_its_end_never_stands_still(ledger: Ledger, state: State):
    bring(ledger, state)
    age(ledger, 3_600_000, "due_at", "deadline_at")
    assert still(ledger) == []


def test_a_postponed_step_is_left_alone_until_it_is_due(ledger: Ledger):
    take_in(ledger)
    age(ledger, 6_000, "due_at")
    assert still(ledger) == ["L1"]
    ledger.postpone(standing(ledger), 0)
    assert still(ledger) == []


def test_those_that_are_longest_overdue_come_first(ledger: Ledger):
    for number in range(4):
        take_in(ledger, f"L{number}")
        age(ledger, 10_000 + number * 1000, "due_at", lead_id=f"L{number}")
    found = ledger.standing_still(message_ms=5_000, call_ms=3_000, limit=2)
    assert [row.lead_id for row in found] == ["L3", "L2"]


def test_a_closed_gate_is_remembered_and_keeps_when_it_was_closed(ledger: Ledger):
    ledger.close_gate(GateRow("category:16001", 4000, "Daily Cap reached", 1_000, 9_000))
    ledger.close_gate(GateRow("category:16001", 4000, "again", 2_000, 10_000))
    ledger.close_gate(GateRow("buyer", None, "by hand", 3_000, None))
    assert ledger.closed_gates() == [
        GateRow("buyer", None, "by hand", 3_000, None),
        GateRow("category:16001", 4000, "again", 1_000, 10_000),
    ]


def test_a_gate_is_opened_once(ledger: Ledger):
    ledger.close_gate(GateRow("category:16001", 4000, "Daily Cap reached", 1_000, 9_000))
    assert ledger.open_gate("category:16001")
    assert not ledger.open_gate("category:16001")
    assert ledger.closed_gates() == []


def test_whoever_closes_a_gate_first_is_told_so_and_nobody_else(ledger: Ledger):
    """On both databases: who is told writes the line, and tells the state store at once."""
    gate = GateRow("category:16002", 4000, "Daily Cap reached", 1_000, 9_000)

    assert [ledger.close_gate(gate), ledger.close_gate(gate)] == [True, False]

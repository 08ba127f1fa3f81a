"""What waits in the ledger, by state, with the age of the oldest; and how long a lead was in the buyer's hands."""

from __future__ import annotations

from tasks.core.protocol import Call
from tasks.core.states import State
from tasks.ledger import Ledger
from tasks.ledger.backlog import OPEN, Waiting
from tests.ledger.stories import AGAIN, SALE, age, bid_move, bring, claimed, exchange, sold, standing, take_in


def test_an_empty_ledger_has_nothing_that_waits(ledger: Ledger):
    found = ledger.backlog()
    assert (dict(found.open), found.untold) == (dict.fromkeys(OPEN, Waiting()), Waiting())


def test_open_leads_are_counted_by_state_since_the_front_door_and_untold_ones_since_their_end(ledger: Ledger):
    """Whatever has come to its end and was told is nobody's any more."""
    for lead_id, state in {"R1": State.RECEIVED, "R2": State.RECEIVED, "B": State.BID, "P": State.POSTING}.items():
        bring(ledger, state, lead_id)
    for lead_id in ("U1", "U2", "T"):
        bring(ledger, State.SOLD, lead_id)
    age(ledger, 12_000, "received_at", lead_id="R2")
    age(ledger, 9_000_000, "changed_at", lead_id="P")
    age(ledger, 7_000_000, "ended_at", lead_id="U1")
    told = ledger.untold_of("T")
    assert told is not None
    ledger.mark_told(told)

    found = ledger.backlog()
    assert {state: it.number for state, it in found.open.items() if it.number} == {
        State.RECEIVED: 2,
        State.BID: 1,
        State.POSTING: 1,
    }
    assert found.open[State.RECEIVED].oldest_s >= 12
    assert found.open[State.POSTING].oldest_s < 9_000
    assert found.untold.number == 2
    assert found.untold.oldest_s >= 7_000


def test_an_outcome_knows_when_its_lead_came_how_long_the_buyer_had_it_and_whether_anybody_was_told(ledger: Ledger):
    """Each exchange of a lead counts, those of pings that were repeated too."""
    row = claimed(ledger, take_in(ledger), Call.PING)
    assert ledger.settle(row, exchange(Call.PING, AGAIN), bid_move())
    row = claimed(ledger, standing(ledger), Call.POST)
    assert ledger.settle(row, exchange(Call.POST, SALE), sold(row))
    untold = ledger.untold_of("L1")
    assert untold is not None
    assert (untold.buyer_ms, untold.first) == (24, True)
    assert 0 <= untold.now_ms - untold.received_ms < 9_000_000
    ledger.mark_told(untold)
    again = ledger.untold_of("L1")
    assert again is not None
    assert not again.first

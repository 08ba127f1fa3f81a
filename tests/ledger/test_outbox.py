"""Outcomes on their way: stored once, told at least once, found by the sweep while nobody was told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from tasks.core.states import State
from tasks.ledger import Ledger, Reply, outbox
from tasks.ledger.rows import Untold, to_ms
from tests.integration.installation import wait_for
from tests.ledger.stories import age, arrival, bring, columns, end, sold

OLD = {"older_than_ms": 3_000, "limit": 10}


def test_before_its_end_a_lead_has_nothing_to_tell(ledger: Ledger):
    bring(ledger, State.POSTING, reply="r")
    assert ledger.untold_of("L1") is None
    assert ledger.untold_of("nobody") is None
    assert ledger.untold(older_than_ms=0, limit=10) == []


def test_an_outcome_comes_with_everyone_who_waits_for_it(ledger: Ledger):
    mine = bring(ledger, State.POSTING, reply="first", correlation_id="1")
    ledger.accept([arrival(reply="second")])
    step = sold(mine)
    ledger.move(mine, step)
    untold = ledger.untold_of("L1")
    assert untold is not None
    assert step.outcome is not None
    assert untold.outcome == step.outcome.message()
    assert [replace(reply, id=None) for reply in untold.replies] == [
        Reply("queue", "first", "1"),
        Reply("queue", "second", None, replayed=True),
    ]
    assert untold.now_ms >= mine.read_ms


def test_what_was_told_is_not_told_again(ledger: Ledger):
    bring(ledger, State.SOLD, reply="r")
    untold = ledger.untold_of("L1")
    assert untold is not None
    ledger.mark_told(untold)
    age(ledger, 60_000, "ended_at")
    assert ledger.untold(**OLD) == []
    assert columns(ledger)["told_at"] is not None
    again = ledger.untold_of("L1")
    assert again is not None
    assert (again.outcome, again.replies) == (untold.outcome, ())


def test_only_the_addresses_that_were_told_are_marked(ledger: Ledger):
    mine = bring(ledger, State.POSTING, reply="first")
    ledger.accept([arrival(reply="second")])
    ledger.move(mine, sold(mine))
    untold = ledger.untold_of("L1")
    assert untold is not None
    ledger.mark_told(replace(untold, replies=untold.replies[:1]))
    age(ledger, 60_000, "ended_at")
    (left,) = ledger.untold(**OLD)
    assert [reply.address for reply in left.replies] == ["second"]


@pytest.mark.parametrize(("by_ms", "found"), [(0, []), (60_000, ["L1"])])
def test_the_sweep_finds_only_what_has_been_untold_for_so_long(ledger: Ledger, by_ms: int, found: list[str]):
    row = bring(ledger, State.SOLD)
    age(ledger, by_ms, "ended_at")
    assert [untold.lead_id for untold in ledger.untold(older_than_ms=10_000, limit=10)] == found
    assert row.state is State.SOLD


def test_the_oldest_untold_outcomes_come_first_and_no_more_than_asked(ledger: Ledger):
    for number in range(5):
        lead_id = f"L{number}"
        mine = bring(ledger, State.PINGING, lead_id)
        ledger.move(mine, end(mine))
        age(ledger, 60_000 + 10_000 * number, "ended_at", lead_id=lead_id)
    assert [it.lead_id for it in ledger.untold(older_than_ms=3_000, limit=3)] == ["L4", "L3", "L2"]


def test_an_outcome_is_the_same_each_time_it_is_read(ledger: Ledger):
    mine = bring(ledger, State.POSTING)
    step = sold(mine)
    ledger.move(mine, step)
    assert step.outcome is not None
    assert step.outcome.forward_by is not None
    assert columns(ledger)["forward_by"] == to_ms(step.outcome.at + timedelta(seconds=30))
    told = [ledger.untold_of("L1"), ledger.untold_of("L1")]
    assert [it.outcome for it in told if it] == [step.outcome.message()] * 2


def _ended(ledger: Ledger) -> Untold:
    mine = bring(ledger, State.POSTING)
    assert ledger.move(mine, sold(mine))
    untold = ledger.untold_of("L1")
    assert untold is not None
    return untold


def test_a_line_that_is_written_is_remembered_in_a_moment(ledger: Ledger):
    _ended(ledger)
    ledger.mark_logged_soon("L1")
    wait_for(lambda: columns(ledger)["logged_at"] is not None, 20)
    assert columns(ledger)["told_at"] is None


def test_an_outcome_that_is_told_meanwhile_says_so_too(ledger: Ledger, monkeypatch: pytest.MonkeyPatch):
    untold = _ended(ledger)
    marked: list[str] = []
    monkeypatch.setattr(outbox, "mark_logged", lambda _connection, lead_id: marked.append(lead_id))
    ledger.mark_logged_soon("L1")
    ledger.mark_told_soon(untold)
    wait_for(lambda: columns(ledger)["told_at"] is not None, 20)
    assert columns(ledger)["logged_at"] is not None
    ledger.close()  # what rests would be written now
    assert marked == []


def test_a_ledger_that_is_closed_has_written_what_rested(open_ledger: Callable[[], Ledger]):
    ledger = open_ledger()
    _ended(ledger)
    ledger.mark_logged_soon("L1")
    ledger.close()
    assert columns(open_ledger())["logged_at"] is not None

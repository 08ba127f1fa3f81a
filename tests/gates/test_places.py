"""How many calls may be in flight at once: few at a buyer that has not answered of late, more with each good answer."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from tasks.gates import Go, Heard, Wait
from tasks.gates.store import COLD_PLACES, LONGEST_POLL_MS, NARROW_PLACES, WIDE_PLACES
from tests.gates.conftest import SCOPE, Shared, ask, burst, go, hear, pass_the_hold


@pytest.fixture
def shared(shared: Shared) -> Shared:
    return shared.standing_still()


def test_a_buyer_that_has_not_answered_of_late_is_tried_by_few_calls_at_once(shared):
    answers = [shared.gates().admit(ask(SCOPE)) for _ in range(20)]

    assert sum(isinstance(answer, Go) for answer in answers) == COLD_PLACES
    assert all(answer.seconds < 0.2 for answer in answers if isinstance(answer, Wait))


def test_a_burst_at_a_buyer_that_had_little_to_do_goes_out_in_growing_steps(shared):
    """Maintenance that begins between two leads must not be found out by a call of every thread of every worker."""
    hear(shared.gates(), go(shared.gates()), Heard.WELL)

    steps = []
    while sum(steps) < 4 * WIDE_PLACES:
        tickets = burst(shared, 4 * WIDE_PLACES)
        steps.append(len(tickets))
        for ticket in tickets:
            hear(shared.gates(), ticket, Heard.WELL)

    assert steps[0] == NARROW_PLACES
    assert steps == sorted(steps)
    assert steps[-1] == 4 * WIDE_PLACES


def test_who_is_turned_away_while_the_buyer_is_tried_widens_nothing(shared):
    """Three leads would make room for nine, and maintenance be found out by nine calls at once."""
    tickets = burst(shared, 3)
    assert len(tickets) == COLD_PLACES

    for ticket in tickets:
        hear(shared.gates(), ticket, Heard.WELL)

    assert shared.store.hget("pingpost:XYZ:live:pace", "width") == str(NARROW_PLACES)


def test_a_way_half_full_of_slow_calls_widens_before_a_call_is_turned_away(shared):
    """Slow answers must not keep those waiting that the buyer would answer at once."""
    hear(shared.gates(), go(shared.gates()), Heard.WELL)

    for _ in range(WIDE_PLACES // 4):
        go(shared.gates())  # a slow one, in flight from now on
        for _ in range(3):
            hear(shared.gates(), go(shared.gates()), Heard.WELL)

    assert len(burst(shared, WIDE_PLACES)) >= WIDE_PLACES // 4


def test_a_way_that_is_no_longer_used_narrows_again(shared):
    tickets: list[Go] = []
    while len(tickets) < 2 * WIDE_PLACES:
        tickets = burst(shared, 2 * WIDE_PLACES)
        for ticket in tickets:
            hear(shared.gates(), ticket, Heard.WELL)

    for _ in range(8):
        # A second is over: the record of it is moved.
        shared.store.hset("pingpost:XYZ:live:pace", mapping={"looked": 0, "full": 0})
        hear(shared.gates(), go(shared.gates()), Heard.WELL)

    assert len(burst(shared, 20)) == NARROW_PLACES


def test_leads_that_wait_for_a_place_come_again_the_later_the_more_they_are(shared):
    hear(shared.gates(), go(shared.gates()), Heard.WELL)
    tickets = burst(shared, NARROW_PLACES)
    gates = shared.gates()
    waits = [gates.admit(ask(SCOPE)).seconds for _ in range(1000)]
    assert max(waits[:8]) < 0.1
    assert min(waits[-8:]) >= LONGEST_POLL_MS / 1000
    assert max(waits) < 1.4 * LONGEST_POLL_MS / 1000

    hear(shared.gates(), tickets[0], Heard.NOTHING)
    go(shared.gates())
    assert shared.gates().admit(ask(SCOPE)).seconds < 0.1


def test_one_good_answer_after_a_hold_opens_the_way_and_the_next_widen_it(shared):
    hear(shared.gates(), go(shared.gates()), Heard.WAIT)
    pass_the_hold(shared)
    with capture_logs() as lines:
        hear(shared.gates(), go(shared.gates()), Heard.WELL)
    assert [(line["event"], line["scope"]) for line in lines] == [("gate.opened", "buyer")]
    tickets = burst(shared, WIDE_PLACES)
    assert len(tickets) == NARROW_PLACES
    for ticket in tickets:
        hear(shared.gates(), ticket, Heard.WELL)
    assert len(burst(shared, WIDE_PLACES)) == 2 * NARROW_PLACES


def test_no_answer_frees_the_place_and_changes_nothing(shared):
    tickets = [go(shared.gates()) for _ in range(COLD_PLACES)]
    assert isinstance(shared.gates().admit(ask(SCOPE)), Wait)

    for ticket in tickets:
        hear(shared.gates(), ticket, Heard.NOTHING)

    assert isinstance(shared.gates().admit(ask(SCOPE)), Go)

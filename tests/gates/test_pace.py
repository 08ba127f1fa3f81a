"""1000 and 1100: all workers wait together, and one call at a time tries again."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from ops.servers.waiting import wait_until
from tasks.gates import Go, Heard, Wait
from tasks.gates.store import HOLD_MS, LIMITED_MS, SLOWEST_SOFT, WIDE_PLACES
from tests.gates.conftest import SCOPE, Shared, ask, go, hear, pass_the_hold


@pytest.fixture
def shared(shared: Shared) -> Shared:
    return shared.standing_still()


@pytest.mark.parametrize(("rate", "tried"), [(100, False), (10, True)])
def test_who_waits_for_a_moment_does_not_try_a_pace(shared, rate: int, tried: bool):
    """It would grow without end while it keeps nobody waiting, and the buyer refuse the next burst."""
    hear(shared.gates(), go(shared.gates()), Heard.WELL)
    taken = shared.clock() + 60_000  # so many moments are taken that only the most counts
    shared.store.hset("pingpost:XYZ:live:pace", mapping={"rate": rate, "age": 0, "width": WIDE_PLACES, "next": taken})

    answer = shared.gates().admit(ask(SCOPE))

    assert isinstance(answer, Wait)
    assert (answer.seconds >= LIMITED_MS / 1000) == tried
    assert shared.store.hexists("pingpost:XYZ:live:pace", "limited") == tried


def test_a_wish_to_come_back_at_once_is_granted_once(shared):
    """A Retry-After of 0 for a minute would otherwise be ten calls a second."""
    waits = []
    for _ in range(5):
        hear(shared.gates(), go(shared.gates()), Heard.WAIT, retry_after_s=0)
        waits.append(shared.gates().admit(ask(SCOPE)).seconds)
        pass_the_hold(shared)

    assert 0.08 < waits[0] < 0.15
    assert waits[1] > 0.8 * HOLD_MS[Heard.WAIT][0] / 1000
    assert waits[4] > 0.8 * HOLD_MS[Heard.WAIT][3] / 1000


def test_maintenance_stops_every_worker_after_the_first_answer(shared):
    with capture_logs() as lines:
        hear(shared.gates(), go(shared.gates()), Heard.WAIT)

    answer = shared.gates().admit(ask(SCOPE))
    assert isinstance(answer, Wait)
    assert answer.code == 1000
    assert 0.9 * HOLD_MS[Heard.WAIT][0] / 1000 < answer.seconds < 1.4 * HOLD_MS[Heard.WAIT][0] / 1000
    assert [(line["event"], line["scope"], line["code"]) for line in lines] == [("gate.closed", "buyer", 1000)]


def test_after_a_hold_one_call_tries_and_the_others_wait(shared):
    hear(shared.gates(), go(shared.gates()), Heard.WAIT)
    pass_the_hold(shared)

    answers = [shared.gates().admit(ask(SCOPE)) for _ in range(10)]

    assert [type(answer) for answer in answers] == [Go] + [Wait] * 9


def test_each_failed_try_makes_the_hold_longer_up_to_a_bound(shared):
    waits = []
    for _ in range(6):
        hear(shared.gates(), go(shared.gates()), Heard.WAIT)
        answer = shared.gates().admit(ask(SCOPE))
        assert isinstance(answer, Wait)
        waits.append(answer.seconds)
        pass_the_hold(shared)

    assert waits[0] < waits[1] < waits[2]
    assert max(waits) < 1.4 * HOLD_MS[Heard.WAIT][-1] / 1000


def test_calls_that_were_in_flight_together_make_one_hold_not_several(shared):
    first, second = go(shared.gates()), go(shared.gates())
    hear(shared.gates(), first, Heard.WAIT)
    before = shared.gates().admit(ask(SCOPE))
    hear(shared.gates(), second, Heard.WAIT)
    after = shared.gates().admit(ask(SCOPE))

    assert isinstance(before, Wait)
    assert isinstance(after, Wait)
    assert after.seconds < 1.4 * HOLD_MS[Heard.WAIT][0] / 1000


def test_the_buyer_s_own_wish_is_heard_and_bounded(shared):
    hear(shared.gates(), go(shared.gates()), Heard.SLOW, retry_after_s=7)
    answer = shared.gates().admit(ask(SCOPE))
    assert isinstance(answer, Wait)
    assert 6.9 < answer.seconds < 9

    pass_the_hold(shared)
    hear(shared.gates(), go(shared.gates()), Heard.SLOW, retry_after_s=86_400)
    answer = shared.gates().admit(ask(SCOPE))
    assert isinstance(answer, Wait)
    assert answer.seconds < 38


def test_a_hold_after_a_good_answer_is_as_short_as_the_first(shared):
    """A buyer that refuses each lead once is not under maintenance: leads must not wait for each other ever longer."""
    waits = []
    for _ in range(4):
        hear(shared.gates(), go(shared.gates()), Heard.WAIT)
        waits.append(shared.gates().admit(ask(SCOPE)).seconds)
        pass_the_hold(shared)
        hear(shared.gates(), go(shared.gates()), Heard.WELL)

    assert max(waits) < 1.4 * HOLD_MS[Heard.WAIT][0] / 1000


def test_a_late_good_answer_to_a_call_from_before_a_hold_does_not_end_it_when_its_time_is_over(shared):
    early, late = go(shared.gates()), go(shared.gates())
    shared.store.hset("pingpost:XYZ:live:pace", "hold", 1)
    hear(shared.gates(), early, Heard.WAIT)
    pass_the_hold(shared)
    ticket, _, began = late.ticket.partition("/")  # a millisecond earlier: it may have begun in that of the hold
    with capture_logs() as lines:
        hear(shared.gates(), Go(f"{ticket}/{int(began) - 1}"), Heard.WELL)
    assert lines == []


def test_a_try_whose_answer_cannot_be_read_makes_all_wait_on_and_longer(shared):
    """The page of many a server under maintenance is such an answer: it must not be asked for all the time."""
    hear(shared.gates(), go(shared.gates()), Heard.WAIT)
    for step in (1, 2, 3, 3):
        pass_the_hold(shared)
        hear(shared.gates(), go(shared.gates()), Heard.GARBLED)
        answer = shared.gates().admit(ask(SCOPE))
        assert isinstance(answer, Wait)
        assert 0.9 * HOLD_MS[Heard.WAIT][step] / 1000 < answer.seconds < 1.4 * HOLD_MS[Heard.WAIT][step] / 1000
        assert answer.code == 1000


def test_a_hold_that_an_earlier_clock_began_is_ended_by_a_good_answer(shared):
    """The store's clock was set back by hours in the midst of maintenance."""
    hear(shared.gates(), go(shared.gates()), Heard.WAIT)
    later = shared.clock() + 6 * 3_600_000
    shared.store.hset("pingpost:XYZ:live:pace", mapping={"hold": later, "since": later})
    with capture_logs() as lines:
        hear(shared.gates(), go(shared.gates()), Heard.WELL)
    assert [line["event"] for line in lines] == ["gate.opened"]


def test_a_refusal_right_after_maintenance_says_nothing_of_the_pace(shared):
    """What the buyer took of late is then what little it was asked."""
    hear(shared.gates(), go(shared.gates()), Heard.WAIT)
    pass_the_hold(shared)
    hear(shared.gates(), go(shared.gates()), Heard.WELL)
    hear(shared.gates(), go(shared.gates()), Heard.SLOW)
    assert shared.store.hget("pingpost:XYZ:live:pace", "rate") is None


def test_single_refusals_slow_nobody_down_to_a_crawl_and_two_in_a_row_do(shared):
    """A buyer that refuses one call of each lead is not one that takes half a call a second."""

    def call(heard: Heard) -> None:
        shared.store.hdel("pingpost:XYZ:live:pace", "next", "last")  # its turn has come
        hear(shared.gates(), go(shared.gates()), heard)
        pass_the_hold(shared)

    def rate() -> float | None:
        known = shared.store.hget("pingpost:XYZ:live:pace", "rate")
        return None if known is None else float(known)

    rates = []
    for _ in range(20):
        for heard in (Heard.SLOW, Heard.WELL):
            call(heard)
            rates.append(rate())
    assert rates[:2] == [None, None], "one among the first calls says nothing"
    assert min(known for known in rates if known) >= SLOWEST_SOFT
    assert set(rates[20:]) == {None}, "no pace was slow enough: it is not the pace"
    shared.store.flushdb()
    for heard in (Heard.SLOW, Heard.SLOW, Heard.WELL, Heard.SLOW):
        call(heard)
    known = rate()
    assert known is not None
    assert known < SLOWEST_SOFT


def test_a_store_whose_clock_is_set_back_by_hours_keeps_nobody_waiting(shared):
    """What its earlier clock noted lies far ahead now: a hold, calls in flight, a turn in the pace."""
    hear(shared.gates(), go(shared.gates()), Heard.SLOW)
    pass_the_hold(shared)
    go(shared.gates())
    ahead = 6 * 3_600_000
    for name in ("hold", "next", "last", "well", "cut", "seen", "limited"):
        if known := shared.store.hget("pingpost:XYZ:live:pace", name):
            shared.store.hset("pingpost:XYZ:live:pace", name, float(known) + ahead)
    shared.store.zadd("pingpost:XYZ:live:flight", {"lost": 4e12})
    shared.store.hset("pingpost:XYZ:live:pace", "hold", shared.clock() + ahead)

    answer = shared.gates().admit(ask(SCOPE))
    assert isinstance(answer, Go) or answer.seconds < 10


def test_a_good_answer_to_a_call_from_before_the_hold_does_not_end_it(shared):
    early, late = go(shared.gates()), go(shared.gates())
    hear(shared.gates(), early, Heard.WAIT)
    hear(shared.gates(), late, Heard.WELL)

    assert isinstance(shared.gates().admit(ask(SCOPE)), Wait)


def test_an_operator_ends_a_hold_by_hand(shared):
    hear(shared.gates(), go(shared.gates()), Heard.WAIT)

    assert shared.gates().open("buyer", "by hand")

    assert isinstance(shared.gates().admit(ask(SCOPE)), Go)


def test_a_good_answer_is_known_to_all_in_a_moment_though_nobody_asks(shared: Shared):
    """Nobody waits until the store has heard of it: it goes with the next question, or by itself."""
    gates = shared.gates()
    gates.heard(go(gates), Heard.WELL, code=None, reason="", retry_after_s=None)
    assert wait_until(lambda: shared.store.hget("pingpost:XYZ:live:pace", "well") is not None, within_s=10)
    assert shared.store.zcard("pingpost:XYZ:live:flight") == 0

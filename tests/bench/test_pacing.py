"""The open loop: durations count from the scheduled time; a system that stands still is slow for all who wait."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from ops.bench.pacing import OpenLoop


class Clock:
    """Seconds that pass only when somebody lets them."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s

    def pass_by(self, seconds):
        self.now_s += seconds


def _done():
    future: Future[None] = Future()
    future.set_result(None)
    return future


def test_work_begins_by_the_clock():
    clock = Clock()
    began = []

    def work(turn):
        began.append((turn, clock.now_s))
        return _done()

    OpenLoop(10, clock, clock.pass_by).run(4, work)
    assert began == [(0, 0.0), (1, pytest.approx(0.1)), (2, pytest.approx(0.2)), (3, pytest.approx(0.3))]


def test_a_stall_is_felt_by_everyone_who_was_to_begin_in_it():
    """One answer takes a second, all others nothing: ten of ten a second have waited, the later ones the less."""
    clock = Clock()
    loop = OpenLoop(10, clock, clock.pass_by)

    def work(turn):
        clock.pass_by(1.0 if turn == 0 else 0.0)
        return _done()

    loop.run(12, work)
    assert loop.took_s[0] == pytest.approx(1.0)
    assert loop.took_s[5] == pytest.approx(0.5)
    assert loop.took_s[11] == pytest.approx(0.0)


def test_nobody_waits_for_an_answer_before_the_next_begins():
    clock = Clock()
    futures: list[Future[None]] = [Future() for _ in range(5)]
    loop = OpenLoop(10, clock, clock.pass_by)
    assert loop.run(5, lambda turn: futures[turn]) == futures
    assert loop.took_s == {}
    clock.pass_by(0.6)
    for future in futures:
        future.set_result(None)
    assert loop.took_s[0] == pytest.approx(1.0)
    assert loop.took_s[4] == pytest.approx(0.6)

"""Threads that want the same done at the same time have it done by one of them, and nobody waits for ever."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial

import pytest

from ops.servers.waiting import wait_until
from tasks.together import Together, Turn
from tests.ledger.stories import at_once, without_faults

WITHIN_S = 20


class Work:
    """Doubles numbers; remembers which came together, and may be held up."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.begun, self.go = threading.Event(), threading.Event()
        self.go.set()

    def __call__(self, turns: Sequence[Turn[int, int]]) -> None:
        self.groups.append([turn.item for turn in turns])
        self.begun.set()
        assert self.go.wait(WITHIN_S)
        for turn in turns:
            if turn.item < 0:
                raise ValueError(turn.item)
            turn.end(2 * turn.item)


@pytest.fixture
def work() -> Work:
    return Work()


def test_each_thread_gets_its_own_result_and_never_two_are_at_work(work: Work):
    together: Together[int, int] = Together(work, 8)
    numbers = range(1, 101)
    results = without_faults(at_once([partial(together.run, n) for n in numbers]))
    assert sorted(results) == [2 * n for n in numbers]
    assert max(map(len, work.groups)) <= 8
    assert sorted(n for group in work.groups for n in group) == list(numbers)


def test_what_breaks_is_the_error_of_those_that_were_not_done_and_of_nobody_else(work: Work):
    together: Together[int, int] = Together(work, 8)
    with pytest.raises(ValueError, match="-1"):
        together.run(-1)
    assert together.run(3) == 6, "the next one is not kept waiting"


def test_what_nobody_waits_for_goes_before_what_was_asked_later(work: Work):
    together: Together[int, int] = Together(work, 8, soon_s=WITHIN_S)
    together.soon(1)
    together.soon(2)
    assert together.run(3) == 6
    assert work.groups == [[1, 2, 3]]


def test_what_nobody_waits_for_is_done_in_a_moment_though_nobody_asks(work: Work):
    together: Together[int, int] = Together(work, 8, soon_s=0.01)
    for number in (1, -2, 3):  # one that breaks keeps no other from its turn
        together.soon(number)
        assert wait_until(lambda number=number: [number] in work.groups, within_s=WITHIN_S, every_s=0.001)


def test_a_flush_waits_for_whoever_is_at_work(work: Work):
    together: Together[int, int] = Together(work, 1, soon_s=WITHIN_S)
    work.go.clear()
    busy = threading.Thread(target=together.run, args=[1])
    busy.start()
    assert work.begun.wait(WITHIN_S)
    together.soon(2)
    flush = threading.Thread(target=together.flush)
    flush.start()
    work.go.set()
    for thread in (busy, flush):
        thread.join(WITHIN_S)
    assert work.groups == [[1], [2]]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_another_thread_sees_to_the_last_where_one_has_died(work: Work):
    together: Together[int, int] = Together(work, 8, soon_s=0.01)

    class Dying(Work):
        def __call__(self, _turns: Sequence[Turn[int, int]]) -> None:
            raise SystemExit  # which ends a thread without a word

    together._do = Dying()
    together.soon(1)
    assert wait_until(lambda: together._last is None, within_s=WITHIN_S, every_s=0.001)
    together._do = work
    together.soon(2)
    assert wait_until(lambda: [2] in work.groups, within_s=WITHIN_S, every_s=0.001)

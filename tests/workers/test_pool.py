"""The threads that run tasks: what has begun is ended, what has not is left, and no fault costs a thread."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator

import pytest
from structlog.testing import capture_logs

from tests.integration.installation import wait_for
from workers.pool import TaskPool

WITHIN_S = 20


@pytest.fixture
def start() -> Iterator[Callable[[int], TaskPool]]:
    started: list[TaskPool] = []

    def start(limit: int) -> TaskPool:
        started.append(TaskPool(limit))
        started[-1].start()
        return started[-1]

    yield start
    for pool in started:
        pool.stop()


def test_a_task_is_announced_run_and_its_result_handed_back(start):
    pool = start(2)
    said: list[object] = []
    done = threading.Event()

    def end(result: object) -> None:
        said.append(result)
        done.set()

    def add(one: int, other: int) -> int:
        said.append(threading.current_thread() is not threading.main_thread())
        return one + other

    pool.apply_async(add, (1,), {"other": 2}, callback=end, accept_callback=lambda pid, _: said.append(pid > 0))
    assert done.wait(WITHIN_S)
    assert said == [True, True, 3]


def test_as_many_run_at_once_as_there_are_threads(start):
    together = threading.Barrier(3, timeout=WITHIN_S)  # the third is the test
    pool = start(2)
    for _ in range(2):
        pool.apply_async(together.wait, callback=lambda _: None)
    together.wait()
    assert pool.info["max-concurrency"] == pool.info["threads"] == 2


def test_the_thread_that_was_busy_last_is_called_first(start):
    """Its connection to the buyer is the freshest: in turn, each would have been idle until the buyer closed it."""
    pool = start(8)
    threads: list[str] = []
    for task in range(50):
        wait_for(lambda: len(pool._idle) == 8, WITHIN_S)
        pool.apply_async(lambda: threads.append(threading.current_thread().name), callback=lambda _: None)
        wait_for(lambda task=task: len(threads) == task + 1, WITHIN_S)
    assert len(set(threads)) == 1


def test_each_task_of_many_is_run_once_however_many_ask(start):
    pool = start(8)
    runs: list[int] = []
    every, askers = 2000, 4

    def ask(first: int) -> None:
        for number in range(first, first + every // askers):
            pool.apply_async(runs.append, (number,), callback=lambda _: None)

    asking = [threading.Thread(target=ask, args=(place * every // askers,)) for place in range(askers)]
    for one in asking:
        one.start()
    for one in asking:
        one.join()
    wait_for(lambda: len(runs) == every, WITHIN_S)
    assert sorted(runs) == list(range(every))


@pytest.mark.parametrize("end", ["stop", "terminate"])
def test_what_has_begun_is_ended_and_what_has_not_is_left(start, end):
    pool = start(1)
    begun, go, done = threading.Event(), threading.Event(), []

    def first() -> None:
        begun.set()
        assert go.wait(WITHIN_S)

    pool.apply_async(first, callback=lambda _: done.append("first"))
    assert begun.wait(WITHIN_S)
    for name in ("second", "third"):
        pool.apply_async(lambda: None, callback=lambda _, name=name: done.append(name))
    stopping = threading.Thread(target=getattr(pool, end))
    stopping.start()
    wait_for(lambda: pool._ends and not pool._tasks, WITHIN_S)
    assert stopping.is_alive()
    go.set()
    stopping.join(WITHIN_S)
    assert done == ["first"]
    assert not any(thread.is_alive() for thread in pool._threads)


def test_a_signal_amid_a_hand_over_stops_the_pool_and_waits_for_nothing(start):
    """Celery's cold shutdown stops the pool in the signal's handler: in the thread that holds the pool's door."""
    pool = start(1)
    ran: list[str] = []

    class Interrupted(deque):
        def append(self, task: object) -> None:
            pool.stop()
            super().append(task)

    wait_for(lambda: len(pool._idle) == 1, WITHIN_S)
    hold = threading.Event()
    pool.apply_async(lambda: hold.wait(WITHIN_S), callback=lambda _: ran.append("first"))
    pool._tasks = Interrupted()
    pool.apply_async(lambda: None, callback=lambda _: ran.append("second"))  # nobody is free, so that it is put aside
    hold.set()
    pool.stop()
    assert ran == ["first"]


def test_a_fault_costs_no_thread_and_says_nothing_of_its_text(start):
    pool = start(1)
    done = threading.Event()

    def breaks(_: object) -> None:
        raise RuntimeError("Hildegard")

    with capture_logs() as lines:
        pool.apply_async(lambda: None, callback=breaks)
        pool.apply_async(lambda: None, callback=lambda _: done.set())
        assert done.wait(WITHIN_S)
    (line,) = lines
    assert (line["event"], line["reason"]) == ("alarm", "a fault of ours")
    assert line["cause"].startswith("RuntimeError in breaks:")


def test_a_process_that_ends_without_a_stop_ends_what_has_begun():
    """As after a fault of Celery's own: a post whose answer nobody hears may be a sale."""
    ending = """
import sys, threading
from workers.pool import TaskPool
begun = threading.Event()
def ended(said): print(said, flush=True)
pool = TaskPool(1)
pool.start()
pool.apply_async(lambda: sys.stdin.read(), callback=ended, accept_callback=lambda *_: begun.set())
begun.wait()
"""
    with subprocess.Popen(
        [sys.executable, "-c", ending], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as it:
        said, _ = it.communicate("ended", timeout=WITHIN_S)
    assert (said, it.returncode) == ("ended\n", 0)

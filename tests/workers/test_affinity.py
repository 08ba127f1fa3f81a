"""One CPU for the threads of a worker: which, who has it, and when it moves to another."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.integration.installation import wait_for
from workers import affinity
from workers.affinity import AT_WORK, WORTH_IT, Pin, busy_s, choices, choose
from workers.pool import TaskPool
from workers.worker import OneCpu

PART = st.floats(0, 1)
WITHIN_S = 20


@st.composite
def machines(draw: st.DrawFn) -> tuple[int, float, dict[int, float]]:
    """A machine of some CPUs, and a process that keeps to one of them and has its part of what is used there."""
    busy = draw(st.dictionaries(st.integers(0, 7), PART, min_size=1))
    here = draw(st.sampled_from(sorted(busy)))
    return here, busy[here] * draw(PART), busy


@given(machines())
def test_it_moves_only_to_the_least_used_and_only_where_that_is_worth_it(machine):
    here, own, busy = machine
    there = choose(here, own, busy)
    if there != here:
        assert busy[there] == min(busy.values())
        assert own >= AT_WORK
        assert busy[here] - own - busy[there] >= WORTH_IT


@given(machines())
def test_having_moved_it_stays(machine):
    here, own, busy = machine
    there = choose(here, own, busy)
    moved = busy if there == here else {**busy, here: busy[here] - own, there: busy[there] + own}
    assert choose(there, own, moved) == there


@given(busy=st.dictionaries(st.integers(0, 7), PART, min_size=1))
def test_alone_on_its_cpu_it_stays(busy):
    here = max(busy, key=lambda cpu: busy[cpu])
    assert choose(here, busy[here], busy) == here


def test_one_of_two_that_share_a_cpu_moves_to_an_empty_one():
    assert choose(0, 0.5, {0: 1.0, 1: 0.1}) == 1


def test_the_kernel_tells_how_long_each_cpu_was_busy():
    first = busy_s()
    assert set(choices()) <= set(first)
    assert all(seconds >= 0 for seconds in first.values())
    wait_for(lambda: sum(busy_s().values()) > sum(first.values()), WITHIN_S)  # to look keeps one busy


@pytest.mark.usefixtures("machine")
def test_those_that_know_of_each_other_take_different_ones(tmp_path):
    pins = [Pin(tmp_path / "cpus", [0, 1, 2]) for _ in range(3)]
    assert {pin.cpu for pin in pins} == {0, 1, 2}
    sharing = [Pin(tmp_path / "cpus", [0, 1, 2]) for _ in range(3)]
    assert {pin.cpu for pin in sharing} == {0, 1, 2}
    left = pins[1].cpu
    pins[1].leave()
    assert pins[1].cpu is None
    assert Pin(tmp_path / "cpus", [0, 1, 2]).cpu == left


def test_without_a_folder_it_takes_one_all_the_same(tmp_path):
    (tmp_path / "cpus").write_text("no folder")
    assert Pin(tmp_path / "cpus", [3]).cpu == 3


class Machine:
    """Two CPUs, each used as the test says (parts of it, each second); half of what CPU `its` is used for is ours."""

    def __init__(self) -> None:
        self.used = {0: 0.0, 1: 0.0}
        self.its = 0
        self._busy_s = {0: 0.0, 1: 0.0}

    def busy_s(self) -> Mapping[int, float]:
        for cpu, part in self.used.items():
            self._busy_s[cpu] += part
        return dict(self._busy_s)

    def own_s(self) -> float:
        return self._busy_s[self.its] / 2


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine, second = Machine(), count()
    monkeypatch.setattr(affinity, "busy_s", machine.busy_s)
    clock = SimpleNamespace(monotonic=lambda: float(next(second)), process_time=machine.own_s)
    monkeypatch.setattr(affinity, "time", clock)
    monkeypatch.setattr(affinity, "bind", lambda _: None)
    return machine


def look_on(pin: Pin, machine: Machine, elsewhere: float) -> None:
    """Have its CPU wanted by others, too, and the other one used so much, for some looks."""
    machine.its = pin.cpu
    machine.used = {pin.cpu: 1.0, 1 - pin.cpu: elsewhere}
    for _ in range(3):
        pin.look()


def always() -> float:
    return 0.0


def never() -> float:
    return 0.5


@pytest.mark.parametrize(
    ("elsewhere", "chance", "moves"), [(0.1, always, True), (0.9, always, False), (0.1, never, False)]
)
def test_it_moves_when_others_want_its_cpu_and_elsewhere_is_room(tmp_path, machine, elsewhere, chance, moves):
    pin = Pin(tmp_path, [0, 1], chance=chance)
    first, other = pin.cpu, 1 - pin.cpu
    look_on(pin, machine, elsewhere)
    assert pin.cpu == (other if moves else first)
    assert Pin(tmp_path, [0, 1]).cpu == (first if moves else other), "what it left is anybody's"


def test_it_moves_to_where_one_is_that_it_knows_only_from_where_one_is(tmp_path, machine):
    pin, other = Pin(tmp_path, [0, 1], chance=always), Pin(tmp_path, [0, 1])
    first = pin.cpu
    look_on(pin, machine, 0.0)
    assert (pin.cpu, other.cpu) == (first, 1 - first)
    third = Pin(tmp_path, [0, 1], chance=always)
    shared = third.cpu
    look_on(third, machine, 0.0)
    assert third.cpu == 1 - shared


def test_where_it_may_not_be_bound_it_runs_anywhere(tmp_path, machine, monkeypatch):
    pin = Pin(tmp_path, [0, 1], chance=always)
    was_its = pin.cpu

    def refuse(_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(affinity, "bind", refuse)
    pin.keep()
    assert pin.cpu is None
    machine.used = {0: 1.0, 1: 0.0}
    for _ in range(3):
        pin.look()
    assert pin.cpu is None
    assert was_its in {Pin(tmp_path, [0, 1]).cpu for _ in range(2)}, "its lock is given back"


def test_a_kernel_that_does_not_tell_moves_nobody(tmp_path, monkeypatch):
    def fail() -> Mapping[int, float]:
        raise PermissionError

    monkeypatch.setattr(affinity, "busy_s", fail)
    pin = Pin(tmp_path, [0, 1], chance=always)
    before = pin.cpu
    for _ in range(3):
        pin.look()
    assert pin.cpu == before


class Hub:
    """Celery's loop, as far as a step asks for it."""

    def __init__(self) -> None:
        self.each_s: list[float] = []

    def call_repeatedly(self, seconds: float, _: object) -> None:
        self.each_s.append(seconds)


def worker(
    tmp_path: Path,
    pool: object,
    *,
    one_cpu: bool = True,
    queues: tuple[str, ...] = ("ping", "post"),
    at_once: bool = True,
) -> SimpleNamespace:
    app = SimpleNamespace(
        settings=SimpleNamespace(data=tmp_path, one_cpu=one_cpu),
        amqp=SimpleNamespace(queues=SimpleNamespace(consume_from=queues)),
        posts_at_once=at_once,
    )
    return SimpleNamespace(pool=pool, app=app)


def test_a_worker_of_threads_is_pinned_until_it_stops(tmp_path, monkeypatch):
    """One that starts anew (SIGHUP) is the same process: it must not stay bound."""
    bound: list[list[int]] = []
    monkeypatch.setattr(affinity, "bind", bound.append)
    monkeypatch.setattr(affinity, "choices", lambda: [4, 7])
    its, hub = worker(tmp_path, TaskPool(1), one_cpu=True), Hub()
    step = OneCpu(its)
    for _ in range(2):  # at each connection
        step.register_with_event_loop(its, hub)
    cpu = step.info(its)["cpu"]
    assert bound == [[cpu], [cpu]]
    assert hub.each_s == [affinity.LOOK_S] * 2
    step.stop(its)
    assert bound[2:] == [[4, 7]]
    assert step.info(its) == {"cpu": None}


@pytest.mark.parametrize("at_once", [True, False])
def test_workers_that_are_at_work_together_take_different_cpus(tmp_path, monkeypatch, at_once):
    """Where pings go on to their posts, one of posts alone takes no CPU from those of pings."""
    monkeypatch.setattr(affinity, "bind", lambda _: None)
    monkeypatch.setattr(affinity, "choices", lambda: [0, 1])

    def cpu(*queues: str) -> int:
        its = worker(tmp_path, TaskPool(1), queues=queues, at_once=at_once)
        step = OneCpu(its)
        step.register_with_event_loop(its, Hub())
        return step.info(its)["cpu"]

    posts, first = cpu("post"), cpu("ping", "upkeep")
    if at_once:
        assert {first, cpu("ping", "upkeep")} == {0, 1}
    else:
        assert {posts, first} == {0, 1}


@pytest.mark.parametrize(
    ("pool", "one_cpu", "cpus"),
    [(TaskPool(1), False, [0, 1]), (object(), True, [0, 1]), (TaskPool(1), True, [0]), (TaskPool(1), True, [])],
    ids=["turned off", "another pool", "one CPU", "no way to bind"],
)
def test_others_keep_what_they_have(tmp_path, monkeypatch, pool, one_cpu, cpus):
    bound: list[list[int]] = []
    monkeypatch.setattr(affinity, "bind", bound.append)
    monkeypatch.setattr(affinity, "choices", lambda: cpus)
    its, hub = worker(tmp_path, pool, one_cpu=one_cpu), Hub()
    step = OneCpu(its)
    step.register_with_event_loop(its, hub)
    step.stop(its)
    assert (bound, hub.each_s, step.info(its)) == ([], [], {"cpu": None})


def test_all_threads_are_bound_and_those_they_begin():
    """In a process of its own: the test's must stay free."""
    code = """
import os, sys, tempfile, threading
from pathlib import Path
from workers.affinity import Pin, choices
before, go, everything = threading.Event(), threading.Event(), os.sched_getaffinity(0)
told = []
def told_by_a_child():
    told.append(os.sched_getaffinity(0))
def work():
    before.set(); go.wait()
    told.append(os.sched_getaffinity(0))
    child = threading.Thread(target=told_by_a_child); child.start(); child.join()
thread = threading.Thread(target=work); thread.start(); before.wait()
with tempfile.TemporaryDirectory() as folder:
    pin = Pin(Path(folder), choices()); pin.keep()
go.set(); thread.join()
assert told + [os.sched_getaffinity(0)] == [{pin.cpu}] * 3, told
pin.leave()
assert os.sched_getaffinity(0) == everything
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

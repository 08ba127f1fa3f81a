"""One CPU for the threads of a worker: which, who has it, and when it moves to another."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from itertools import count
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.integration.installation import wait_for
from workers import affinity
from workers.affinity import AT_WORK, WORTH_IT, Seat, busy_s, choices, choose

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
    seats = [Seat(tmp_path / "cpus", [0, 1, 2]) for _ in range(3)]
    assert {seat.cpu for seat in seats} == {0, 1, 2}
    sharing = [Seat(tmp_path / "cpus", [0, 1, 2]) for _ in range(3)]
    assert {seat.cpu for seat in sharing} == {0, 1, 2}
    left = seats[1].cpu
    seats[1].leave()
    assert seats[1].cpu is None
    assert Seat(tmp_path / "cpus", [0, 1, 2]).cpu == left


def test_without_a_folder_it_takes_one_all_the_same(tmp_path):
    (tmp_path / "cpus").write_text("no folder")
    assert Seat(tmp_path / "cpus", [3]).cpu == 3


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


@pytest.mark.parametrize(("elsewhere", "moves"), [(0.1, True), (0.9, False)])
def test_it_moves_when_others_want_its_cpu_and_elsewhere_is_room(tmp_path, machine, elsewhere, moves):
    seat = Seat(tmp_path, [0, 1])
    first, other = seat.cpu, 1 - seat.cpu
    machine.its, machine.used = first, {first: 1.0, other: elsewhere}
    for _ in range(200):  # a coin is thrown for each move, lest two that share one both leave it
        seat.look()
        if seat.cpu != first:
            break
    assert seat.cpu == (other if moves else first)
    assert Seat(tmp_path, [0, 1]).cpu == (first if moves else other), "what it left is anybody's"


def test_it_does_not_move_to_where_one_is_that_it_knows(tmp_path, machine):
    seat, other = Seat(tmp_path, [0, 1]), Seat(tmp_path, [0, 1])
    first = seat.cpu
    machine.its, machine.used = first, {first: 1.0, 1 - first: 0.0}
    for _ in range(200):
        seat.look()
    assert (seat.cpu, other.cpu) == (first, 1 - first)
    third = Seat(tmp_path, [first])
    assert third.cpu == first, "for a third there is no place of its own"


def test_where_it_may_not_be_bound_it_runs_anywhere(tmp_path, machine, monkeypatch):
    seat = Seat(tmp_path, [0, 1])
    taken = seat.cpu

    def refuse(_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(affinity, "bind", refuse)
    seat.keep()
    assert seat.cpu is None
    machine.used = {0: 1.0, 1: 0.0}
    for _ in range(20):
        seat.look()
    assert seat.cpu is None
    assert {Seat(tmp_path, [0, 1]).cpu for _ in range(2)} == {0, 1}, f"{taken} is anybody's"


def test_a_kernel_that_does_not_tell_moves_nobody(tmp_path, monkeypatch):
    def fail() -> Mapping[int, float]:
        raise PermissionError

    monkeypatch.setattr(affinity, "busy_s", fail)
    seat = Seat(tmp_path, [0, 1])
    before = seat.cpu
    seat.look()
    assert seat.cpu == before


def test_all_threads_are_bound_and_those_they_begin():
    """In a process of its own: the test's must stay free."""
    code = """
import os, sys, tempfile, threading
from pathlib import Path
from workers.affinity import Seat, choices
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
    seat = Seat(Path(folder), choices()); seat.keep()
go.set(); thread.join()
assert told + [os.sched_getaffinity(0)] == [{seat.cpu}] * 3, told
seat.leave()
assert os.sched_getaffinity(0) == everything
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

"""An absence is said once, and its end once, whatever threads see of it."""

from __future__ import annotations

import math

import pytest
from structlog.testing import capture_logs

from tasks.absence import Absence, named

AWAY = named(OSError)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def fail(absence: Absence, fault: Exception) -> None:
    with pytest.raises(type(fault)), absence.watch(AWAY):
        raise fault


def succeed(absence: Absence) -> None:
    with absence.watch(AWAY):
        pass


def test_an_absence_and_its_end_are_said_once() -> None:
    """With its reason, and how long it lasted."""
    clock = Clock()
    absence = Absence("ledger", monotonic=clock)
    with capture_logs() as lines:
        succeed(absence)
        for _ in range(3):
            fail(absence, ConnectionRefusedError("a text that may hold anything"))
        assert absence.on
        clock.now = 30
        for _ in range(3):
            succeed(absence)
        assert not absence.on

    assert lines == [
        {"event": "ledger.away", "log_level": "warning", "reason": "ConnectionRefusedError"},
        {"event": "ledger.back", "log_level": "info", "away_s": 30.0},
    ]


def test_it_knows_for_how_long_it_has_been_back() -> None:
    """For ever, where it has never been away."""
    clock = Clock()
    absence = Absence("ledger", monotonic=clock)
    assert absence.back_for_s == math.inf
    fail(absence, ConnectionRefusedError())
    clock.now = 30
    succeed(absence)
    clock.now = 37
    assert absence.back_for_s == 7


def test_other_faults_are_no_absence() -> None:
    """A wrong row says nothing of the ledger."""
    absence = Absence("ledger")
    with capture_logs() as lines:
        fail(absence, ValueError())
    assert (lines, absence.on) == ([], False)


def test_what_began_before_the_return_and_fails_after_it_is_no_new_absence() -> None:
    """Threads that hung on a dead connection find out later than those that opened a new one."""
    clock = Clock()
    absence = Absence("broker", monotonic=clock)

    def hang() -> None:
        clock.now = 1
        fail(absence, OSError())
        clock.now = 2
        succeed(absence)
        clock.now = 3
        raise OSError("late")

    with capture_logs() as lines, pytest.raises(OSError, match="late"), absence.watch(AWAY):
        hang()
    assert [line["event"] for line in lines] == ["broker.away", "broker.back"]


def test_what_began_before_the_absence_and_ends_well_is_no_return() -> None:
    """An answer that was already on its way."""
    clock = Clock()
    absence = Absence("store", monotonic=clock)
    with absence.watch(AWAY):
        clock.now = 1
        fail(absence, OSError())
        clock.now = 2
    assert absence.on
    absence.over()
    assert not absence.on


def test_an_absence_that_is_told_of_without_a_beginning_counts() -> None:
    """Celery says only that it fails."""
    absence = Absence("broker")
    with capture_logs() as lines:
        absence.begun("ConnectionRefusedError")
        absence.over()
        absence.begun("OSError")
    assert [line["event"] for line in lines] == ["broker.away", "broker.back", "broker.away"]

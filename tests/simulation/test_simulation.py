"""Histories of a whole installation, thousands of them: nothing lost, nothing sold twice, every break noticed."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.simulation.invariants import Broken
from tests.simulation.mutants import MUTANTS
from tests.simulation.schedules import run, trace
from tests.simulation.world import World, inhabited

SCHEDULES = int(os.environ.get("PINGPOST_TEST_SCHEDULES", "3000"))
ENOUGH_TO_NOTICE = 500
NOTICED = [mutant.__name__ for mutant in MUTANTS].index("a_post_goes_out_before_its_claim_is_committed")


def test_every_invariant_holds_in_every_schedule() -> None:
    """`make simulate` runs a hundred thousand."""
    failures = [failure for seed in range(SCHEDULES) if (failure := run(seed))]

    assert not failures, "\n".join(f"seed {failure.seed}: {failure.why}" for failure in failures[:5])


@pytest.mark.parametrize("broken", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_rule_that_is_broken_on_purpose_is_noticed(broken: Any) -> None:
    """Some seed finds it, and finds it again."""
    with broken():
        found = next(failure for seed in range(ENOUGH_TO_NOTICE) if (failure := run(seed)))
        assert run(found.seed) == found

    assert run(found.seed) is None


def test_a_seed_is_one_history() -> None:
    """So that what is found can be looked at."""
    assert trace(7) == trace(7)
    assert trace(7) != trace(8)


class Digits:
    """Makes choices of one large number: a single draw of Hypothesis's for all that one thing needs."""

    def __init__(self, number: int) -> None:
        self._left = number

    def __call__(self, choices: int) -> int:
        self._left, chosen = divmod(self._left, choices)
        return chosen


NUMBERS = st.integers(0, 2**40)


class Installation(RuleBasedStateMachine):
    """A world in which Hypothesis chooses what happens, and makes what breaks it as short as it can."""

    @initialize(number=NUMBERS)
    def begin(self, number: int) -> None:
        self.world = World(Digits(number))
        self.inhabiting = inhabited(self.world)
        self.inhabiting.__enter__()

    @rule(numbers=st.lists(NUMBERS, min_size=1, max_size=8))
    def things_happen(self, numbers: list[int]) -> None:
        for number in numbers:
            self.world.choose_by(Digits(number))
            self.world.step()

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            self.world.choose_by(Digits(0))
            self.world.rest()
        finally:
            self.inhabiting.__exit__(None, None, None)


MACHINE = settings(
    max_examples=300, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck), print_blob=False
)


def test_hypothesis_finds_no_history_that_breaks_an_invariant() -> None:
    """After every step, and at rest."""
    run_state_machine_as_test(Installation, settings=MACHINE)


def test_hypothesis_would_find_one() -> None:
    """With a post that goes out before its claim is committed."""
    # Found is enough here: to make it short, too, takes a minute.
    hunt = settings(MACHINE, max_examples=2000, phases=[Phase.generate], report_multiple_bugs=False)
    with MUTANTS[NOTICED](), pytest.raises(Broken):
        run_state_machine_as_test(Installation, settings=hunt)

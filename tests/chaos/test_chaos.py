"""The short form of `make chaos`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ops.servers.rabbitmq import NoRabbitmq
from tests.chaos.blows import Chaos
from tests.chaos.plan import PARTS, plan
from tests.chaos.run import run
from tests.servers.need import missing

SEED_VARIABLE = "PINGPOST_TEST_CHAOS_SEED"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("broker", [pytest.param("rabbitmq", marks=pytest.mark.rabbitmq), "embedded"])
def test_under_chaos_the_four_books_agree(tmp_path: Path, broker: str):
    """Kills, broker restarts and a hostile buyer lose no lead and sell none twice; and they did happen."""
    seed = int(os.environ.get(SEED_VARIABLE, "7"))
    print(f"{SEED_VARIABLE}={seed}")  # noqa: T201 - pytest shows it beside a failure, to run it again
    try:
        # Twice the time for an answer: the buyer runs in this process, beside which other tests run.
        result = run(tmp_path, broker, leads=500, rate=30, seed=seed, post_timeout_s=4)
    except NoRabbitmq as reason:
        missing(str(reason))
    assert result.accepted == 500
    assert result.findings.violations == (), result.facts()


def test_a_seed_is_one_plan_and_every_part_is_in_it():
    """So that what was found can be run again; and the broker is restarted thrice, once by a crash."""
    assert plan(7, 90) == plan(7, 90) != plan(8, 90)
    assert {blow.target for blow in plan(7, 17) if blow.what == "kill"} == set(PARTS)
    assert sorted(blow.what for blow in plan(7, 17) if blow.what in ("restart", "crash")) == [
        "crash",
        "restart",
        "restart",
    ]


def test_chaos_that_did_not_take_place_is_a_violation():
    """A run in which nothing was broken proves nothing."""
    idle = Chaos(None, None, plan(7, 17))  # type: ignore[arg-type]  # nobody strikes
    found = [violation.rule for violation in idle.shortfalls()]
    assert found == [
        "chaos that did not take place: 0 kills of 8",
        "chaos that did not take place: fewer restarts of the broker than planned",
        "chaos that did not take place: no cut",
    ]

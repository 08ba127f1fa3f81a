"""Rounds: trials interleaved, each round in the other direction, the better form, and what cannot be run here."""

from __future__ import annotations

import pytest

from ops.bench import run as running
from ops.bench.buyer import Stalled
from ops.bench.run import Run
from ops.bench.servers import Missing, Servers
from ops.bench.trials import Order
from tests.bench.results import ROW


@pytest.fixture
def trials(monkeypatch):
    """Trials that only say that they were run; a figure each, or what they raise."""
    ran = []
    gives = {"run_on": 300.0, "link": 200.0, "dramatiq": 400.0}

    def trial(name):
        def act(order):
            ran.append((name, order.place))
            if isinstance(gives[name], Exception):
                raise gives[name]
            return {"leads_s": gives[name]}

        return act

    monkeypatch.setattr(running, "TRIALS", {name: trial(name) for name in gives})
    return ran, gives


def _run(rounds=1, places=("rabbitmq",), tell=lambda _: None):
    run = Run([ROW], places, Order(Servers()), tell)
    run.rounds(rounds)
    return run.results()


def test_rounds_interleave_and_turn_round(trials):
    ran, _ = trials
    _run(2)
    assert [name for name, _ in ran] == ["run_on", "link", "dramatiq", "dramatiq", "link", "run_on"]


def test_ours_is_run_on_each_place_and_a_peer_once(trials):
    ran, _ = trials
    results = _run(1, ("rabbitmq", "embedded"))
    assert [name for name, _ in ran].count("dramatiq") == 1
    assert [(name, place) for name, place in ran if name == "link"] == [("link", "rabbitmq"), ("link", "embedded")]
    assert [result.place for result in results] == ["rabbitmq", "embedded"]


def test_the_better_form_counts(trials):
    (only,) = _run()
    assert only.spread is not None
    assert (only.a, only.b, only.spread.median) == (300.0, 400.0, 0.75)


def test_a_form_that_cannot_be_run_leaves_the_other(trials):
    _, gives = trials
    gives["run_on"] = Missing("no such form")
    (only,) = _run(3)
    assert only.a == 200.0


@pytest.mark.parametrize(
    ("fault", "tries"), [(Missing("dramatiq is not installed"), 1), (Stalled("3 of 10 posts came"), 2)]
)
def test_a_peer_that_cannot_be_run_costs_its_row_and_says_why(trials, fault, tries):
    ran, gives = trials
    gives["dramatiq"] = fault
    told: list[str] = []
    (only,) = _run(3, tell=told.append)
    assert only.spread is None
    assert only.worth is None
    assert only.why == str(fault)
    assert only.facts()["why"] == str(fault)
    assert [name for name, _ in ran].count("dramatiq") == tries
    assert [line for line in told if "left out" in line] == [f"round 1 of 3: dramatiq on rabbitmq is left out: {fault}"]


def test_a_trial_that_stalled_once_is_run_again(trials, monkeypatch):
    ran, _ = trials
    whole = running.TRIALS["dramatiq"]

    def stalls_first(order):
        figures = whole(order)
        if len(ran) < 4:
            raise Stalled("for a moment")
        return figures

    monkeypatch.setitem(running.TRIALS, "dramatiq", stalls_first)
    (only,) = _run()
    assert only.spread is not None

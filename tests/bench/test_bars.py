"""The table of bars: whole, and the same in the file, in the trials and in what is printed."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from ops.bench import bars, table
from ops.bench.run import Run
from ops.bench.servers import Servers
from ops.bench.trials import ONCE, OURS, TRIALS, Order
from tests.bench.results import LATENCY, ROW, result
from workers.cli.bench import PLACES

# Bars and goals as they were set.
SET = {
    "chain": (0.9, 1.3),
    "run-on": (1.2, 2.2),
    "dramatiq": (0.8, 1.3),
    "taskiq": (0.6, 1.0),
    "cpu": (2.5, 1.5),
    "latency-p50": (10, 6),
    "latency-p99": (30, 15),
    "slow-buyer": (60, 20),
    "second-worker": (1.7, 1.95),
    "front-door": (1500, 4000),
    "million": (1.3, 1.05),
    "memory": (1.2, 1.02),
}


def test_each_row_has_the_bar_and_the_goal_that_were_set():
    assert {row.name: (row.bar, row.goal) for row in bars.load()} == SET


@pytest.mark.parametrize("row", bars.load(), ids=lambda row: row.name)
def test_a_goal_lies_beyond_its_bar_and_every_trial_is_there(row):
    assert (row.goal > row.bar) is (row.better == "higher")
    assert set(row.trials) <= TRIALS.keys()
    assert not row.beside or set(row.a) <= OURS


def test_no_trial_is_there_for_nothing():
    assert {trial for row in bars.load() for trial in row.trials} == TRIALS.keys()
    assert TRIALS.keys() >= ONCE | OURS


def test_every_row_is_printed_on_each_place_on_which_it_is_measured():
    run = Run(bars.load(), PLACES, Order(Servers()), lambda _: None)
    out = StringIO()
    table.show(Console(file=out, width=200), {"cpus": 2}, run.results(), {})
    printed = [line.split("│")[1].strip() for line in out.getvalue().splitlines() if line.startswith("│")]
    beside = [row.name for row in bars.load() if row.beside]
    assert [name for name in printed if name] == [*SET, *beside, *beside]


def test_a_value_is_written_in_its_unit():
    assert ROW.write(1.234) == "1.23"
    assert LATENCY.write(12.34) == "12.3 ms"
    assert {row.name: row.write(1500) for row in bars.load()}["front-door"] == "1,500/s"


def test_a_missed_bar_is_marked_and_what_was_not_measured_says_why():
    out = StringIO()
    rows = [result(ROW, 0.5, 0.6, 0.7), result(LATENCY, why="no RabbitMQ")]
    table.show(Console(file=out, width=200), {}, rows, {})
    assert "MISSED" in out.getvalue()
    assert "0.50 - 0.70" in out.getvalue()
    assert "no RabbitMQ" in out.getvalue()

"""A run that is kept, what changed since, and the page."""

from __future__ import annotations

import json

import pytest

from ops.bench import page, report
from ops.bench.report import Baseline, NoBaseline
from ops.bench.run import Run
from ops.bench.servers import Servers
from ops.bench.trials import Order
from tests.bench.results import LATENCY, ROW, result

MACHINE = {"cpu": "A", "cpus": 2, "python": "3.13"}


@pytest.fixture
def kept(tmp_path):
    """A baseline of two rows."""
    file = tmp_path / "baseline.json"
    run = Run([ROW, LATENCY], ("rabbitmq",), Order(Servers()), lambda _: None)
    run.figures["link", "rabbitmq"].append({"leads_s": 123.45678})
    results = [result(ROW, 0.9, 1.0, 1.1), result(LATENCY, 20, 21, 22)]
    file.write_text(json.dumps(report.as_object(MACHINE, 3, run, results)))
    return file


def test_a_run_is_kept_with_its_machine_and_every_figure(kept):
    told = json.loads(kept.read_text())
    assert told["machine"] == MACHINE
    assert told["asked"]["rounds"] == 3
    assert told["figures"] == {"link on rabbitmq": [{"leads_s": 123.4568}]}
    assert [row["row"] for row in told["rows"]] == ["dramatiq", "latency-p99"]


def test_what_changed_beyond_the_spread_is_told(kept):
    faster, as_before = result(ROW, 1.2, 1.3, 1.4), result(LATENCY, 21, 22, 23)
    changes = Baseline.read(kept).changes(MACHINE, [faster, as_before])
    assert changes[faster].what == "better"
    assert changes[faster].before.median == 1.0
    assert changes[as_before].what is None


def test_of_another_machine_ratios_alone_are_compared(kept):
    ratio, latency = result(ROW, 0.5, 0.6), result(LATENCY, 90, 91)
    changes = Baseline.read(kept).changes({**MACHINE, "cpu": "B"}, [ratio, latency])
    assert changes.keys() == {ratio}
    assert changes[ratio].what == "worse"


def test_what_was_not_measured_then_or_now_is_not_compared(kept):
    assert Baseline.read(kept).changes(MACHINE, [result(ROW, why="no RabbitMQ")]) == {}
    assert Baseline.read(kept).changes(MACHINE, [result(ROW, 1.0, place="embedded")]) == {}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"rows": [{"row": "a", "median": 1}], "machine": {}}'])
def test_a_file_that_is_no_run_is_no_baseline(tmp_path, text):
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(NoBaseline):
        Baseline.read(tmp_path / "b.json")


def test_the_page_draws_each_row_against_its_bar_and_goal(kept):
    results = [result(ROW, 0.5, 0.8, 1.7), result(LATENCY, why="<none>")]
    changes = Baseline.read(kept).changes(MACHINE, results)
    drawn = page.render(MACHINE, results, changes)
    assert drawn.count('class="spread"') == 1
    assert 'aria-label="0.80, bar 0.80, goal 1.30"' in drawn
    assert "&lt;none&gt;" in drawn
    assert "<script" not in drawn


def test_on_the_page_right_is_better_also_where_less_is():
    (strip,) = [page._strip(result(LATENCY, 10, 20, 40), None, 5.0)]
    assert strip.low < strip.median < strip.high
    assert strip.goal == pytest.approx(100 * 2 / 5)

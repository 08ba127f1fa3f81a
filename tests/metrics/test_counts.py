"""What a process counts."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from tasks.buyers.port import Exchange
from tasks.core.money import Money
from tasks.core.outcome import Outcome, Stage, Status
from tasks.core.protocol import Call
from tasks.core.reasons import Refusal
from tests.metrics.test_metrics import samples
from workers.metrics import Counts, Name
from workers.metrics.names import Part

SOLD = Outcome(
    "a-1", Status.SOLD, Stage.POST, datetime(2026, 11, 26, tzinfo=UTC), 16001, price_quoted=Money.parse("0.1")
)
AT_WARNING = """
import structlog
from workers import logging
from workers.settings import load
seen = []
logging.configure(load(), lambda line: seen.append(line["event"]))
log = structlog.stdlib.get_logger()
log.info("gate.opened", scope="buyer", reason="the buyer answers again")
log.error("alarm", reason="2000: Blocked source")
assert seen == ["gate.opened", "alarm"], seen
"""


@pytest.fixture
def counts() -> Counts:
    return Counts(codes=[4000, 5000], categories=[16001], tasks=["sweep"], version="1")


def shown(counts: Counts, part: Part = "worker") -> dict[tuple[str, str], float]:
    return dict(samples(generate_latest(counts.registry(part)).decode()))


def test_every_series_is_there_from_the_beginning(counts):
    """Prometheus sees no rise from nothing to one: the first unknown of a worker's life would set nothing off."""
    before = shown(counts)
    for status in Status:
        counts.ended(replace(SOLD, status=status))
    for call in Call:
        for code in (4000, 7777, None):
            counts.heard(Exchange(call, Refusal(code), 200, 1.5, {}, ""))
        counts.stepped(call)
        counts.began(call, 0.1)
    counts.kept_up("sweep")
    counts.late()
    counts.resumed()
    counts.line({"event": "alarm"})
    counts.line({"event": "gate.closed", "scope": "category:16001"})
    after = shown(counts)
    assert {name for name, _ in after.keys() - before.keys()} == {Name.TURNED}
    assert after[Name.REFUSALS, "ping unlisted"] == after[Name.REFUSALS, "ping none"] == 1
    assert after[Name.TURNS, "category closed"] == 1


def test_payouts_are_added_up_to_the_micro_dollar_and_tests_bring_none(counts):
    """A hundred thousand times ten cents is ten thousand dollars, as no sum of floats is."""
    for _ in range(100_000):
        counts.ended(SOLD)
    counts.ended(replace(SOLD, test=True))
    assert sum([0.1] * 100_000) != 10_000
    assert shown(counts)[Name.PAYOUT, "16001 quoted"] == 10_000
    assert shown(counts)[Name.PAYOUT, "16001 confirmed"] == 0


def test_a_fault_in_counting_costs_a_number_and_no_sale_and_is_said_once(counts):
    with capture_logs() as lines:
        for _ in range(3):
            counts.kept_up("no task of beat's")
    assert [(line["event"], line["what"], line["cause"]) for line in lines] == [
        ("metrics.fault", "kept_up", "KeyError")
    ]


def test_our_lines_are_written_and_counted_whatever_level_the_log_has():
    """WARNING quiets libraries: each token and payout is a line, and parts are waited for by theirs."""
    argv = [sys.executable, "-c", AT_WARNING]
    done = subprocess.run(argv, env={"PINGPOST_LOG_LEVEL": "WARNING"}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "alarm" in done.stdout
    assert "gate.opened" in done.stdout

"""Rows, runs and results as the bench's tests need them."""

from __future__ import annotations

from ops.bench.bars import Row
from ops.bench.figures import Spread
from ops.bench.run import Result

FORMS = ("run_on", "link")
ROW = Row("dramatiq", "leads/s ÷ dramatiq", FORMS, "leads_s", "higher", 0.8, 1.3, b="dramatiq", beside=True)
LATENCY = Row("latency-p99", "p99", ("paced",), "p99_ms", "lower", 30, 15, unit="ms")


def result(row: Row = ROW, *values: float, place: str = "rabbitmq", why: str = "") -> Result:
    """A row's result of these rounds; without any, it could not be measured."""
    return Result(row, place, Spread.of(values) if values else None, *((500.0, 400.0) if values else ()), why=why)

"""A run as one page of HTML: each row's spread against its bar and goal. It opens from disk and holds no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from ops.bench.bars import Row
from ops.bench.report import Change
from ops.bench.run import Result
from ops.bench.servers import PLACES

HEADROOM: Final = 1.06
_TEMPLATES: Final = Environment(
    loader=ChoiceLoader([PackageLoader("ops.bench"), PackageLoader("workers.report")]),  # the style is the report's
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True, slots=True)
class Strip:
    """A row as a strip, in percent across: to the right is better, and every row's bar stands in one place."""

    result: Result
    change: Change | None
    low: float
    median: float
    high: float
    goal: float


def render(machine: Mapping[str, Any], results: Sequence[Result], changes: Mapping[Result, Change]) -> str:
    """Draw the page."""
    measured = [result for result in results if result.spread is not None]
    width = HEADROOM * max([_times(result.row, each) for result in measured for each in _ends(result)], default=1)
    parts = {
        what: [_strip(result, changes.get(result), width) for result in measured if result.place == place]
        for place, what in PLACES.items()
    }
    return _TEMPLATES.get_template("bench.html").render(
        parts={what: strips for what, strips in parts.items() if strips},
        bar=100 / width,
        missing=[result for result in results if result.spread is None],
        machine=machine,
    )


def _times(row: Row, value: float) -> float:
    """Give how many times as good as its bar a value is."""
    return value / row.bar if row.better == "higher" else row.bar / value


def _ends(result: Result) -> tuple[float, ...]:
    spread = result.spread
    return (result.row.goal,) if spread is None else (spread.low, spread.high, result.row.goal)


def _strip(result: Result, change: Change | None, width: float) -> Strip:
    row, spread = result.row, result.spread
    if spread is None:
        raise ValueError("there is nothing to draw")
    ends = sorted(100 * _times(row, value) / width for value in (spread.low, spread.high))
    median, goal = (100 * _times(row, value) / width for value in (spread.median, row.goal))
    return Strip(result, change, ends[0], median, ends[1], goal)

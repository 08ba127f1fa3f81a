"""The bench's table, as a terminal shows it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from ops.bench.bars import Row
from ops.bench.figures import Worth
from ops.bench.report import Change
from ops.bench.run import Result
from ops.bench.servers import PLACES

_PIPED_COLUMNS: Final = 180
_STYLES: Final = {Worth.GOAL: "green", Worth.BAR: "", Worth.MISSED: "bold red", None: "dim"}
_MARKS: Final = {Worth.GOAL: "goal", Worth.BAR: "bar", Worth.MISSED: "MISSED", None: "-"}


def show(
    console: Console, machine: Mapping[str, Any], results: Sequence[Result], changes: Mapping[Result, Change]
) -> None:
    """Print one table a place, and what it was measured on."""
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _PIPED_COLUMNS
    for place, what in PLACES.items():
        if rows := [result for result in results if result.place == place]:
            console.print(_table(f"pingpost on {what}", rows, changes))
    console.print(", ".join(f"{name} {value}" for name, value in machine.items()), style="dim", markup=False)


def _table(title: str, results: Sequence[Result], changes: Mapping[Result, Change]) -> Table:
    table = Table(title=title)
    table.add_column("row", no_wrap=True)
    table.add_column("what")
    for name in ("bar", "goal", "median", "min-max", "ours", "theirs"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("before", justify="right", no_wrap=True)
    table.add_column("reached")
    for result in results:
        row, spread = result.row, result.spread
        bars = (row.name, row.title, row.write(row.bar), row.write(row.goal))
        if spread is None:
            table.add_row(*bars, "", "", "", "", "", result.why or "not measured", style=_STYLES[None])
            continue
        both = [_plain(side) if row.b else "" for side in (result.a, result.b)]
        around = f"{row.write(spread.low)} - {row.write(spread.high)}"
        cells = (*bars, row.write(spread.median), around, *both, _before(row, changes.get(result)))
        table.add_row(*cells, _MARKS[result.worth], style=_STYLES[result.worth])
    return table


def _before(row: Row, change: Change | None) -> str:
    return "" if change is None else f"{row.write(change.before.median)} {change.what or ''}".strip()


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.2f}"

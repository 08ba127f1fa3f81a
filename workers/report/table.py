"""A report as a table for a terminal, as wide as that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from tasks.core.tally import Tally, total
from tasks.ledger.report import By, Report
from workers.report.measures import MEASURES, Measure, members

_LONGEST_NAME: Final = 32
_UNBOUNDED: Final = 10_000


def show(console: Console, by: Sequence[By], groups: Report) -> None:
    """Print a row a group and the sums, and say which measures the terminal has no room for."""
    whole = total(groups.values())
    # What nothing happened in says nothing, but for what is always shown.
    fitting = [measure for measure in MEASURES if not measure.dispensable or measure.of(whole)]
    left_out: list[Measure] = []
    while _width(console, table := _table(by, groups, whole, fitting)) > console.width:
        worst = max(fitting, key=lambda measure: measure.dispensable)
        if not worst.dispensable:
            break
        fitting.remove(worst)
        left_out.append(worst)
    console.print(table)
    if left_out:
        titles = ", ".join(measure.title for measure in MEASURES if measure in left_out)
        console.print(Text(f"no room for: {titles} (a wider terminal, --csv or --json)", style="dim"))


def _table(by: Sequence[By], groups: Report, whole: Tally, measures: Sequence[Measure]) -> Table:
    table = Table(show_footer=True)
    for place, each in enumerate(by):
        long = each is By.SUBID
        table.add_column(
            each.value,
            "all" if place == 0 else "",
            max_width=_LONGEST_NAME if long else None,
            overflow="fold",
            no_wrap=not long,
        )
    for measure in measures:
        # Rich takes a title of two words for one that may be broken, and cuts it.
        wide = len(measure.title)
        table.add_column(measure.title, measure.shown(whole), justify="right", no_wrap=True, min_width=wide)
    for group, tally in groups.items():
        # As text, not as markup: a sub source is a stranger's.
        names = (Text(name) for name in members(by, group))
        table.add_row(*names, *(measure.shown(tally) for measure in measures))
    return table


def _width(console: Console, table: Table) -> int:
    """Give the columns that a table takes without cutting a number short, be there room for them or not."""
    return Measurement.get(console, console.options.update(max_width=_UNBOUNDED), table).minimum

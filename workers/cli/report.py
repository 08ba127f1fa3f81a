"""``pingpost report``: what leads brought, by the buyer's day and hour, category, sub source and call."""

from __future__ import annotations

import io
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from sqlalchemy import Connection

from tasks.core.caps import LAST_YEAR, Calendar
from tasks.ledger.report import By, Report, Span, report
from workers.cli.asking import BAD_SETTINGS, NOT_DONE, ask_ledger, refuse
from workers.report import findings, page, sheet, table
from workers.report.findings import Findings
from workers.report.measures import as_object
from workers.services import Wiring
from workers.settings import SettingsError, load

_EPILOG = """\b
Exit codes:
  0  told, be it that nothing was sold
  1  the ledger cannot be read, or a file cannot be written
  2  bad settings or arguments
"""
_DAY = click.DateTime(["%Y-%m-%d"])
_BY: Final = f"What makes a row, in this order: {', '.join(By)}."
_STDOUT: Final = "-"
# Where the table is not read on a terminal, it keeps all of its columns.
_PIPED_COLUMNS: Final = 1000


def _groups(_context: click.Context, _option: click.Parameter, value: str) -> tuple[By, ...]:
    names = [name.strip() for name in value.split(",")]
    if not set(names) <= set(By) or len(set(names)) < len(names):
        raise click.BadParameter(f"some of {', '.join(By)}, each once, with commas between them")
    return tuple(map(By, names))


@click.command("report", epilog=_EPILOG)
@click.option("--since", type=_DAY, metavar="DAY", help="The buyer's first day, as 2026-11-01.  [default: a week ago]")
@click.option("--until", type=_DAY, metavar="DAY", help="The buyer's last day, included.  [default: today]")
@click.option("--by", default="day,category,subid", show_default=True, metavar="LIST", callback=_groups, help=_BY)
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects.")
@click.option("--csv", "csv", is_flag=False, flag_value=_STDOUT, metavar="[FILE]", help="CSV; without FILE: printed.")
@click.option("--html", "html", metavar="FILE", help="One page with plots, which opens from disk.")
def command(
    since: datetime | None,
    until: datetime | None,
    *,
    by: tuple[By, ...],
    as_json: bool,
    csv: str | None,
    html: str | None,
) -> None:
    """Tell what leads brought, by the buyer's day, category and sub source.

    A lead counts on the day on which it ended, in the buyer's zone; a sale at its confirmed price, else at the quoted
    one. "accept" is bids of answered pings, "difference" confirmed less quoted. "possible" are leads that the buyer may
    have counted as sold and we did not: hold them against the buyer's statement. Leads of test mode ("tests") count
    into nothing else.
    """
    if [as_json, csv == _STDOUT, html == _STDOUT].count(True) > 1:
        refuse("report", "only one of --json, --csv and --html can be printed", BAD_SETTINGS)
    try:
        settings = load()
        wiring = Wiring(settings)
        names, span = wiring.protocol.categories, _span(wiring.calendar, since, until)
    except SettingsError as wrong:
        refuse("report", str(wrong), BAD_SETTINGS)

    def read(connection: Connection) -> tuple[Report, Findings | None]:
        groups = report(connection, span, by) if as_json or csv or not html else {}
        return groups, findings.read(connection, span, names) if html else None

    groups, found = ask_ledger("report", settings, read)
    if html and found:
        _put(html, page.render(found, datetime.now(UTC)))
    if csv:
        rows = io.StringIO()
        sheet.write(rows, by, groups)
        _put(csv, rows.getvalue())
    if as_json:
        click.echo(json.dumps([as_object(by, group, tally) for group, tally in groups.items()]))
    elif not csv and not html:
        _show(span, by, groups)


def _span(calendar: Calendar, since: datetime | None, until: datetime | None) -> Span:
    last = until.date() if until else calendar.day(datetime.now(UTC))
    if last.year > LAST_YEAR:
        refuse("report", f"--until {last} is too late a day", BAD_SETTINGS)
    first = since.date() if since else last - timedelta(days=6)
    if first > last:
        refuse("report", f"--since {first} is after --until {last}", BAD_SETTINGS)
    return Span(calendar, first, last)


def _show(span: Span, by: tuple[By, ...], groups: Report) -> None:
    if not groups:
        click.echo(f"no lead ended between {span.first} and {span.last} ({span.calendar.zone.key})")
        return
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _PIPED_COLUMNS
    table.show(console, by, groups)


def _put(file: str, text: str) -> None:
    """Print what is asked for on standard output; else write it, and say so."""
    if file == _STDOUT:
        click.echo(text, nl=False)
        return
    try:
        Path(file).write_text(text, encoding="utf-8", newline="")
    except OSError as fault:
        refuse("report", f"cannot write {file}: {fault.strerror}", NOT_DONE)
    click.echo(f"wrote {file}", err=True)

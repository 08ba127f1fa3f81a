"""``pingpost reconcile``: the buyer's statement held against the ledger."""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from datetime import time as time_of_day
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tasks.core.caps import Calendar
from tasks.core.money import dollars
from tasks.core.outcome import rfc3339
from tasks.core.payout import Standing
from tasks.core.reconciliation import Claim, Comparison, Entry, Finding, Kind, Row
from workers.cli.asking import BAD_SETTINGS, ledger_of, refuse
from workers.reconciling import BadPeriod, Books, Days, Settled, held_against, read_books, settle_by
from workers.settings import Settings, SettingsError, load
from workers.statement import NAMES, BadStatement, Form, read

_EPILOG = """\b
Exit codes:
  0  statement and ledger agree
  1  differences were found (those that --settle has just settled are among them)
  2  bad settings or arguments, or a file that cannot be read or written
  3  the ledger cannot be read
"""
_DAY: Final = click.DateTime(["%Y-%m-%d"])
AWAY: Final = 3
MOST_SHOWN: Final = 100
_OTHERS: Final = (Claim.UNKNOWN.value, Claim.WITHHELD.value)
FIELDS: Final = (
    "kind",
    "line",
    "lead_id",
    "token",
    "customid",
    "price_statement",
    "price_ledger",
    "ended_at",
    "detail",
)


@dataclass(frozen=True, slots=True)
class Result:
    """What is told. `settled` is None where nobody asked for it."""

    statement: str
    books: Books
    comparison: Comparison
    settled: Settled | None
    vouched: bool


def _columns(_context: click.Context, _parameter: click.Parameter, given: Sequence[str]) -> dict[str, str]:
    chosen: dict[str, str] = {}
    for text in given:
        name, equals, title = text.partition("=")
        if name not in NAMES or not equals or not title.strip() or name in chosen:
            raise click.BadParameter(f"{text!r}: must be one of {', '.join(NAMES)}, each once, as in token=Token")
        chosen[name] = title
    return chosen


def _date_format(_context: click.Context, _parameter: click.Parameter, given: str | None) -> str | None:
    try:
        if given is not None:
            tried = datetime(2026, 11, 23)  # noqa: DTZ001 - only tried
            if datetime.strptime(tried.strftime(given), given).date() != tried.date():  # noqa: DTZ007 - as above
                raise ValueError("must have year, month and day")
    except ValueError as wrong:
        raise click.BadParameter(str(wrong)) from None
    return given


@click.command("reconcile", epilog=_EPILOG)
@click.argument("statement", metavar="STATEMENT.csv", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="NAME=TITLE",
    callback=_columns,
    help=f"Which column is which, where its title does not tell: NAME is one of {', '.join(NAMES)}.",
)
@click.option("--date-format", callback=_date_format, help="The form of its dates, as %m/%d/%Y.  [default: ISO 8601]")
@click.option("--since", type=_DAY, help="The buyer's first day.  [default: the statement's]")
@click.option("--until", type=_DAY, help="The buyer's last day, included.  [default: the statement's]")
@click.option("--settle", is_flag=True, help="Mark unknown leads as sold, or not, by the statement.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--csv", "table", type=click.Path(dir_okay=False, path_type=Path), help="Write all differences to FILE.")
def command(
    statement: Path,
    *,
    columns: dict[str, str],
    date_format: str | None,
    since: datetime | None,
    until: datetime | None,
    settle: bool,
    as_json: bool,
    table: Path | None,
) -> None:
    """Compare the buyer's statement with the ledger, by token or customid.

    The file is CSV in UTF-8 with a header (comma, semicolon, tab or |): a price, a token or a customid or both, and a
    date if it has one. What each kind of difference means stands in ops/runbook.md, Reconciliation.

    --settle marks every unknown lead that the statement has as sold. One that it has not is marked as not sold only
    where --since and --until both say which days the statement covers, and these are over. Outcomes never change.
    """
    try:
        settings = load()
    except SettingsError as wrong:
        refuse("reconcile", str(wrong), BAD_SETTINGS)
    calendar = Calendar(ZoneInfo(settings.buyer_timezone), time_of_day.fromisoformat(settings.buyer_reset))
    days = Days(_date(since), _date(until))
    try:
        rows = read(statement, Form(columns, date_format, calendar))
        result = _reconcile(settings, calendar, rows, days, statement.name, settle=settle)
        if table is not None:
            write(table, result.comparison.findings)
    except BadStatement as wrong:
        for fault in wrong.faults:
            click.echo(f"pingpost reconcile: {statement}: {fault}", err=True)
        sys.exit(BAD_SETTINGS)
    except BadPeriod as wrong:
        refuse("reconcile", f"--since, --until: {wrong}", BAD_SETTINGS)
    except OSError as fault:
        refuse("reconcile", f"{fault.filename}: {fault.strerror}", BAD_SETTINGS)
    if as_json:
        click.echo(json.dumps(as_object(result)))
    else:
        _show(result, Console(), calendar.zone.key)
    sys.exit(1 if result.comparison.findings else 0)


def _reconcile(
    settings: Settings, calendar: Calendar, rows: Sequence[Row], days: Days, statement: str, *, settle: bool
) -> Result:
    with ledger_of("reconcile", settings, away=AWAY) as ledger:
        books = ledger.read(lambda connection: read_books(connection, rows, days, calendar), one_moment=True)
        comparison = held_against(books)
        settled = settle_by(ledger, comparison, books, days, statement) if settle else None
    return Result(statement, books, comparison, settled, days.vouched)


def as_object(result: Result) -> dict[str, Any]:
    """Give a result for scripts: amounts as decimal strings of dollars, times RFC 3339."""
    books, comparison = result.books, result.comparison
    inside = [row for row in books.rows if row.in_period]
    period = books.period
    return {
        "statement": {
            "file": result.statement,
            "rows": len(inside),
            "outside_the_period": len(books.rows) - len(inside),
            "price": dollars(sum(row.price.micros for row in inside)),
        },
        "since": period and period.since.isoformat(),
        "until": period and period.until.isoformat(),
        "ledger": {name: _sum(entries) for name, entries in _sides(books.entries).items()},
        "differences": dict(Counter(finding.kind.value for finding in comparison.findings)),
        "settled": result.settled and {"sold": result.settled.sold, "not_sold": result.settled.not_sold},
        "notes": list(_notes(result)),
        "findings": [_plain(finding) for finding in comparison.findings],
    }


def write(path: Path, findings: Iterable[Finding]) -> None:
    """Write one row a difference. A cell that a spreadsheet would take for a formula begins with an apostrophe.

    Raises:
        OSError: the file cannot be written.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.DictWriter(file, FIELDS, lineterminator="\n")
        rows.writeheader()
        rows.writerows({name: _harmless(cell) for name, cell in _plain(finding).items()} for finding in findings)


def _plain(finding: Finding) -> dict[str, Any]:
    row, entry = finding.row, finding.entry
    token = (row.token if row else None) or (entry.token if entry else None)
    customid = (row.customid if row else None) or (entry.customid if entry else None)
    return {
        "kind": finding.kind.value,
        "line": row.line if row else None,
        "lead_id": entry.lead_id if entry else None,
        "token": token,
        "customid": customid,
        "price_statement": str(row.price) if row else None,
        "price_ledger": str(entry.price) if entry and entry.price is not None else None,
        "ended_at": rfc3339(entry.ended_at) if entry and entry.ended_at else None,
        "detail": finding.detail or None,
    }


def _harmless(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@")) else cell


def _sides(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Sort the period's leads by what we say of them to the buyer."""
    sides: dict[str, list[Entry]] = {name: [] for name in (*(f"sold_{one}" for one in Standing), *_OTHERS)}
    for entry in entries:
        if entry.in_period and entry.claim is not Claim.NONE:
            name = f"sold_{entry.payout}" if entry.claim is Claim.SOLD else entry.claim.value
            sides[name].append(entry)
    return sides


def _sum(entries: Sequence[Entry]) -> dict[str, Any]:
    return {"leads": len(entries), "price": dollars(sum(entry.price.micros for entry in entries if entry.price))}


def _notes(result: Result) -> Iterator[str]:
    period, left = result.books.period, len(result.comparison.unlisted)
    if period is None:
        yield "nothing tells which days the statement is of: say --since and --until"
        return
    if not period.over:
        yield f"the buyer's day {period.until} is not over: sales may be missing in the statement only for now"
    open_ = sum(1 for entry in result.comparison.unlisted if not entry.settled)
    if left and open_ and not (result.vouched and period.over):
        yield (
            f"{open_} unknown leads are not in the statement. If it has all sales of days that are over, "
            f"--settle --since {period.since} --until {period.until} marks them as not sold"
        )


def _show(result: Result, console: Console, zone: str) -> None:
    told = as_object(result)
    statement, findings = told["statement"], told["findings"]
    days = f"{told['since']} to {told['until']} ({zone})" if told["since"] else "of unknown days"
    outside = f", {statement['outside_the_period']} rows outside" if statement["outside_the_period"] else ""
    click.echo(f"statement  {statement['rows']} rows, $ {statement['price']}, {days}{outside}")
    sides = (f"{name} {side['leads']} ($ {side['price']})" for name, side in told["ledger"].items() if side["leads"])
    click.echo(f"ledger     {', '.join(sides).replace('_', ' ') or 'nothing sold on these days'}")
    if findings:
        console.print(_table(findings[:MOST_SHOWN]))
        if len(findings) > MOST_SHOWN:
            click.echo(f"… and {len(findings) - MOST_SHOWN} more: --csv FILE or --json has all")
    kinds = ", ".join(f"{told['differences'][kind]} {kind}" for kind in Kind if kind in told["differences"])
    click.echo(f"result     {kinds or 'they agree'}")
    if result.settled is not None:
        click.echo(f"settled    {result.settled.sold} unknown leads as sold, {result.settled.not_sold} as not sold")
    for note in told["notes"]:
        click.echo(f"note       {note}")


def _table(findings: Sequence[dict[str, Any]]) -> Table:
    table = Table()
    table.add_column("difference", no_wrap=True)
    table.add_column("line", justify="right")
    table.add_column("lead, or its token", overflow="fold")
    for price in ("statement", "ledger"):
        table.add_column(price, justify="right")
    table.add_column("detail")
    for one in findings:
        cells = (
            one["kind"],
            one["line"],
            one["lead_id"] or one["token"] or one["customid"],
            one["price_statement"],
            one["price_ledger"],
            one["detail"],
        )
        # As text, not as markup: names are strangers'.
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in cells))
    return table


def _date(at: datetime | None) -> date | None:
    return at.date() if at else None

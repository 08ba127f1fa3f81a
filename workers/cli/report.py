"""``pingpost report``: payouts by the buyer's day, category and sub source."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tasks.core.caps import buyer_day, next_reset
from tasks.core.outcome import Status
from tasks.ledger.report import PayoutRow, payouts
from tasks.ledger.rows import to_ms
from workers.cli.asking import BAD_SETTINGS, ask_ledger, refuse
from workers.settings import SettingsError, load

_EPILOG = """\b
Exit codes:
  0  told, be it that nothing was sold
  1  the ledger cannot be read
  2  bad settings or arguments
"""
_DAY = click.DateTime(["%Y-%m-%d"])


@click.command("report", epilog=_EPILOG)
@click.option("--since", type=_DAY, help="The buyer's first day, as 2026-11-01.  [default: a week ago]")
@click.option("--until", type=_DAY, help="The buyer's last day, included.  [default: today]")
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects.")
def command(since: datetime | None, until: datetime | None, *, as_json: bool) -> None:
    """Tell payouts by the buyer's day, category and sub source.

    A sale counts at its confirmed price, else at the quoted one, on the day on which it was made in the buyer's zone.
    Leads of test mode are counted apart and pay nothing. "Possible" are leads that the buyer may have counted and we
    did not: reconcile them with the buyer's statement.
    """
    try:
        settings = load()
    except SettingsError as wrong:
        refuse("report", str(wrong), BAD_SETTINGS)
    zone, reset = ZoneInfo(settings.buyer_timezone), time.fromisoformat(settings.buyer_reset)
    last = until.date() if until else buyer_day(datetime.now(UTC), zone, reset)
    first = since.date() if since else last - timedelta(days=6)
    if first > last:
        refuse("report", f"--since {first} is after --until {last}", BAD_SETTINGS)
    begins, ends = _begin(first, zone, reset), _begin(last + timedelta(days=1), zone, reset)
    rows = ask_ledger("report", settings, lambda connection: payouts(connection, zone, reset, begins, ends))
    if as_json:
        click.echo(json.dumps([as_object(row) for row in rows]))
    elif rows:
        Console().print(_table(rows))
    else:
        click.echo(f"no lead ended between {first} and {last} ({zone.key})")


def as_object(row: PayoutRow) -> dict[str, Any]:
    """Give a row for scripts: amounts as decimal strings of dollars."""
    return {
        "day": row.day.isoformat(),
        "numcategory": row.numcategory,
        "subid": row.subid,
        "sold": row.sold,
        "price_quoted": dollars(row.quoted),
        "price_confirmed": dollars(row.confirmed),
        "payout": dollars(row.payout),
        "possible": row.possible,
        "possible_payout": dollars(row.possible_payout),
        "counts": {status.value: number for status, number in row.counts.items()},
        "tests": {status.value: number for status, number in row.tests.items()},
    }


def dollars(amount: Decimal) -> str:
    """Write exact dollars with two decimals, or as many more as it takes."""
    return str(max(amount.normalize(), amount.quantize(Decimal("0.01")), key=_decimals)) if amount else "0.00"


def _decimals(amount: Decimal) -> int:
    return -int(amount.as_tuple().exponent)


def _begin(day: date, zone: ZoneInfo, reset: time) -> int:
    """Give the millisecond at which the buyer's `day` begins: the reset after noon of the day before."""
    noon = datetime.combine(day - timedelta(days=1), time(12), tzinfo=zone).astimezone(UTC)
    moment = next_reset(noon, zone, reset)
    return to_ms(moment if buyer_day(moment, zone, reset) == day else next_reset(moment, zone, reset))


def _table(rows: list[PayoutRow]) -> Table:
    shown = [status for status in Status if any(status in row.counts for row in rows)]
    table = Table("day", "category", "subid", show_footer=True)
    amounts = {"quoted": "quoted", "confirmed": "confirmed", "payout": "payout"}
    for status in shown:
        total = sum(row.counts.get(status, 0) for row in rows)
        table.add_column(status.value, footer=str(total), justify="right")
    for title, name in amounts.items():
        table.add_column(title, footer=dollars(_total(rows, name)), justify="right")
    table.add_column("possible", footer=_possible(rows), justify="right")
    table.add_column("tests", footer=str(sum(sum(row.tests.values()) for row in rows)), justify="right")
    for row in rows:
        table.add_row(
            row.day.isoformat(),
            str(row.numcategory),
            Text(row.subid),
            *(str(row.counts.get(status, 0)) for status in shown),
            *(dollars(getattr(row, name)) for name in amounts.values()),
            _possible([row]),
            str(sum(row.tests.values())),
        )
    return table


def _possible(rows: list[PayoutRow]) -> str:
    number = sum(row.possible for row in rows)
    return f"{number} ({dollars(_total(rows, 'possible_payout'))})" if number else "0"


def _total(rows: list[PayoutRow], name: str) -> Decimal:
    return sum((getattr(row, name) for row in rows), Decimal(0))

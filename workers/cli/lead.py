"""``pingpost lead``: the whole story of a lead."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tasks.core.money import Money
from tasks.core.outcome import rfc3339
from tasks.core.payout import Loss, Payout, Standing
from tasks.ledger.story import Attempt, Facts, Report, Settled, Story, story
from workers.cli.asking import BAD_SETTINGS, NOT_DONE, ask_ledger, refuse
from workers.settings import SettingsError, load

_EPILOG = """\b
Exit codes:
  0  told
  1  the ledger never heard of this id, or cannot be read
  2  bad settings or arguments
"""


@click.command("lead", epilog=_EPILOG)
@click.argument("lead_id")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(lead_id: str, *, as_json: bool) -> None:
    """Tell the whole story of a lead: each call with its answer, its outcome, who was told, and what it waits for.

    Of a sold one also what upstream told of the caller's call, and whether its payout is due; of an unknown one what
    the buyer's statements say.

    The caller's identity and the key are never shown.
    """
    try:
        settings = load()
    except SettingsError as wrong:
        refuse("lead", str(wrong), BAD_SETTINGS)
    told = ask_ledger("lead", settings, lambda connection: story(connection, lead_id))
    if told is None:
        refuse("lead", f"no lead {lead_id!r}", NOT_DONE)
    if as_json:
        click.echo(json.dumps(as_object(told)))
    else:
        _show(told, Console())


def as_object(told: Story) -> dict[str, Any]:
    """Give a story for scripts. Prices are decimal strings, times RFC 3339; what is not known is absent."""
    lead = {} if told.facts is None else _plain(told.facts, phone_number=_masked(told.facts.phone_number))
    return {
        "lead_id": told.lead_id,
        **lead,
        "waits_for": told.waits_for,
        "attempts": [_plain(attempt) for attempt in told.attempts],
        "replies": [_plain(asker) for asker in told.askers],
        "refusals": [_plain(rejected) for rejected in told.rejected],
        "call_reports": [_plain(report) for report in told.reports],
        **_owed(told),
        "settlements": [_plain(settled) for settled in told.settled],
    }


def _owed(told: Story) -> dict[str, Any]:
    if told.facts is None or told.payout is None:
        return {}
    return {"payout": _plain(told.payout, price=told.facts.price)}


def _plain(record: Any, **instead: Any) -> dict[str, Any]:
    given = {name: getattr(record, name) for name in type(record).__slots__} | instead
    return {name: _value(value) for name, value in given.items() if value is not None}


def _value(value: Any) -> Any:
    if isinstance(value, datetime):
        return rfc3339(value)
    return str(value) if isinstance(value, Money) else value


def _masked(phone_number: str | None) -> str | None:
    """Show a number as logs do: a sale's number is for its caller alone."""
    return None if phone_number is None else f"***{phone_number[-2:]}"


def _show(told: Story, console: Console) -> None:
    console.print(Text(f"lead {told.lead_id}", style="bold"))
    if told.facts is not None:
        for name, value in _headline(told.facts):
            console.print(Text(f"  {name:<10}{value}"))
    for rejected in told.rejected:
        console.print(Text(f"  {'invalid':<10}{_time(rejected.at)}  {rejected.reason}"))
    if told.attempts:
        console.print(_table(told.attempts))
    elif told.facts is not None and told.facts.status is not None and told.facts.pings + told.facts.posts:
        console.print(Text("  its attempts are not in the ledger: archived, or cut short by a crash"))
    for asker in told.askers:
        when = f"told {_time(asker.told_at)}" if asker.told_at else "not told yet"
        again = " (sent again)" if asker.replayed else ""
        console.print(Text(f"  {'reply':<10}{asker.address}{again}: {when}"))
    for report in told.reports:
        console.print(Text(f"  {'call':<10}{_call(report)}"))
    if told.facts and told.payout:
        console.print(Text(f"  {'payout':<10}{_payout(told.facts, told.payout)}"))
    for settled in told.settled:
        console.print(Text(f"  {'settled':<10}{_settlement(settled)}"))
    if told.waits_for:
        console.print(Text(f"  {'waits for':<10}{told.waits_for}", style="yellow"))


def _headline(facts: Facts) -> Iterator[tuple[str, str]]:
    mode = ", test mode" if facts.test else ""
    yield (
        "received",
        f"{_time(facts.received_at)}  category {facts.numcategory}, subid {facts.subid}, {facts.flow}{mode}",
    )
    yield "deadline", _time(facts.deadline_at)
    yield "state", f"{facts.state}  since {_time(facts.changed_at)}"
    prices = {
        "offered": facts.offered_price,
        "quoted": facts.price_quoted,
        "confirmed": facts.price_confirmed,
    }
    if any(price is not None for price in prices.values()):
        yield "price", ", ".join(f"{name} {price}" for name, price in prices.items() if price is not None)
    if facts.token:
        yield "token", facts.token
    if facts.posted_at:
        yield "posted", _time(facts.posted_at)
    if facts.phone_number:
        by = f"  forward by {_time(facts.forward_by)}" if facts.forward_by else ""
        yield "number", f"{_masked(facts.phone_number)}{by}"
    if facts.status and facts.ended_at:
        words = " ".join(str(part) for part in (facts.code, facts.reason) if part is not None)
        yield "outcome", f"{facts.status}  {_time(facts.ended_at)}{f'  {words}' if words else ''}"
        yield "told", _time(facts.told_at) if facts.told_at else "not yet"


def _call(report: Report) -> str:
    told = f"(told {_time(report.at)})" if report.counts else f"(told {_time(report.at)}; a later report counts)"
    if report.forwarded_at is None:
        return f"never forwarded {told}"
    return f"forwarded {_time(report.forwarded_at)}, {report.duration_s:g} s {told}"


def _payout(facts: Facts, payout: Payout) -> str:
    price = "of an unknown price" if facts.price is None else facts.price
    if payout.standing is Standing.OPEN:
        return f"{price} open: upstream has not told what became of the call"
    asked = f", the buyer asks for {facts.duration_s} s" if payout.why is Loss.TOO_SHORT else ""
    return f"{price} {payout.standing}{f': {payout.why}' if payout.why else ''}{asked}"


def _settlement(settled: Settled) -> str:
    price = "" if settled.price is None else f" at {settled.price}"
    token = f", token {settled.token}" if settled.token else ""
    later = "" if settled.counts else "; a later statement counts"
    said = f"sold{price}{token}" if settled.sold else "not sold"
    return f"{said}, by {settled.statement} ({_time(settled.at)}{later})"


def _table(attempts: tuple[Attempt, ...]) -> Table:
    table = Table()
    for title in ("time (UTC)", "call", "http", "read as", "code", "price", "token", "ms", "reason"):
        table.add_column(title, overflow="fold")  # a token that is cut off is no token
    for attempt in attempts:
        read = f"{attempt.result} (too late)" if attempt.stale else attempt.result
        cells = (
            _time(attempt.at),
            f"{attempt.call} {attempt.number}",
            attempt.http_status,
            read,
            attempt.code,
            attempt.price,
            attempt.token,
            attempt.duration_ms,
            attempt.reason,
        )
        # As text, not as markup: the words are the buyer's.
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in cells))
    return table


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}"

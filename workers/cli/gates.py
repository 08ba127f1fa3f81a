"""``pingpost gates``: which gates are closed, since when, until when, why, and how many leads they turned away."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NoReturn

import click
from redis.exceptions import RedisError
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from tasks.core.limits import Limit
from tasks.core.money import dollars
from tasks.core.outcome import rfc3339
from tasks.gates import Gate, SharedGates
from tasks.ledger import LedgerError
from tasks.ledger.limits import Used
from tasks.ledger.rows import from_ms
from workers.logging import configure_command
from workers.services import Wiring
from workers.settings import SettingsError, load

_EPILOG = """\b
Exit codes:
  0  done
  1  the gate was already as asked, or the state store or the ledger is away
  2  bad settings or arguments
"""
WATCH_S: Final = 1.0
LIMIT: Final = "limit:"  # before the scope of an operator's own limit


@click.group("gates", invoke_without_command=True, epilog=_EPILOG)
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects; with --watch, one line a second.")
@click.option("--watch", is_flag=True, help="Show them anew each second, until Ctrl-C.")
@click.pass_context
def command(context: click.Context, *, as_json: bool, watch: bool) -> None:
    """Show gates; open or close one by hand.

    `buyer` is the gate that maintenance, silence and the rate limit close for all leads, with the pace in force. Gates
    of a partner, sub source or category are closed by the buyer's codes, or by hand. `limit:…` are limits of your own
    (PINGPOST_LIMITS): they open with the buyer's next day.
    """
    if context.invoked_subcommand is not None:
        return
    look = _looking()
    if as_json:
        click.echo(json.dumps([as_object(gate) for gate in look()]))
        while watch:
            time.sleep(WATCH_S)
            click.echo(json.dumps([as_object(gate) for gate in look()]))
    elif watch:
        with Live(table_of(look()), console=Console(), auto_refresh=False, screen=True) as live:
            while True:
                time.sleep(WATCH_S)
                live.update(table_of(look()), refresh=True)
    else:
        Console().print(table_of(look()))


@command.command("close", epilog=_EPILOG)
@click.argument("scope")
@click.option("--reason", default="closed by an operator", show_default=True, help="Told to whoever is turned away.")
def close(scope: str, reason: str) -> None:
    """Close a gate by hand, until it is opened by hand. SCOPE: partner:ID, category:NUMBER or subid:NAME."""
    if scope.partition(":")[0] not in ("partner", "category", "subid") or not scope.partition(":")[2]:
        raise click.BadParameter("must be partner:ID, category:NUMBER or subid:NAME", param_hint="SCOPE")
    done = _asked(lambda: _turning().close(scope, code=None, reason=reason, until=None))
    _say(scope, "closed", done=done)


@command.command("open", epilog=_EPILOG)
@click.argument("scope")
@click.option("--reason", default="opened by an operator", show_default=True, help="For the log.")
def open_(scope: str, reason: str) -> None:
    """Open a gate by hand. SCOPE as `pingpost gates` shows it; `buyer` ends a wait for maintenance or pace."""
    if scope.startswith(LIMIT):
        raise click.BadParameter("a limit of your own is changed in the file of PINGPOST_LIMITS", param_hint="SCOPE")
    _say(scope, "open", done=_asked(lambda: _turning().open(scope, reason)))


def as_object(gate: Gate) -> dict[str, Any]:
    """Give a gate as the contract has it, and what else is known of it."""
    more = {
        "probe_at": rfc3339(gate.probe_at) if gate.probe_at else None,
        "calls_per_s": gate.calls_per_s,
        "sold": gate.takings.sold if gate.takings else None,
        "payout": dollars(gate.takings.payout_micros) if gate.takings else None,
    }
    return {
        "scope": gate.scope,
        "state": "closed" if gate.closed else "open",
        "code": gate.code,
        "reason": gate.reason,
        "since": rfc3339(gate.since) if gate.since else None,
        "until": rfc3339(gate.until) if gate.until else None,
        "turned_away": gate.turned_away,
        **{name: value for name, value in more.items() if value is not None},
    }


def table_of(found: Sequence[Gate]) -> Table:
    """Show gates to a person. Times are in UTC."""
    table = Table("gate", "state", "code", "since", "until", "turned away", "sold today", "why", title="gates (UTC)")
    for gate in found:
        why = gate.reason or ""
        if gate.calls_per_s:
            why = f"{why}; {gate.calls_per_s:g} calls a second".removeprefix("; ")
        if gate.probe_at and gate.closed:
            why = f"{why}; tried at {gate.probe_at:%H:%M:%S}"
        brought = f"{gate.takings.sold}  $ {dollars(gate.takings.payout_micros)}" if gate.takings else ""
        state = "[red]closed" if gate.closed else "[green]open"
        times = (f"{at:%m-%d %H:%M:%S}" if at else "" for at in (gate.since, gate.until))
        numbers = (str(gate.code or ""), *times, str(gate.turned_away or ""))
        table.add_row(gate.scope, state, *numbers, brought, escape(why))
    return table


def _looking() -> Callable[[], list[Gate]]:
    """Give what looks at all gates. It opens none: whose day is over is beat's to open and to log."""

    def look() -> list[Gate]:
        return [*gates.all(), *_own_limits(wiring)]

    try:
        wiring = Wiring(load())
        gates = wiring.gates
    except SettingsError as wrong:
        _refuse(str(wrong), 2)
    return lambda: _asked(look)


def _own_limits(wiring: Wiring) -> Iterator[Gate]:
    limits = wiring.limits.by_scope
    if not limits:
        return
    now = from_ms(wiring.ledger.now_ms())
    used = wiring.ledger.limits_used(wiring.calendar.day(now).isoformat())
    for scope, limit in sorted(limits.items()):
        so_far = used.get(scope, Used(0, 0, 0, 0))
        parts = list(_parts(limit, so_far))
        yield Gate(
            f"{LIMIT}{scope}",
            closed=any(taken >= most for taken, most, _ in parts),
            reason=", ".join(words for _, _, words in parts),
            until=wiring.calendar.ends(now),
            turned_away=so_far.turned_away,
        )


def _parts(limit: Limit, used: Used) -> Iterator[tuple[int, int, str]]:
    if limit.pings is not None:
        yield used.pings, limit.pings, f"{used.pings} of {limit.pings} pings"
    if limit.sales is not None:
        yield used.sales, limit.sales, f"{used.sales} of {limit.sales} sales"
    if limit.payouts_micros is not None:
        words = f"$ {dollars(used.payouts_micros)} of {dollars(limit.payouts_micros)} in payouts"
        yield used.payouts_micros, limit.payouts_micros, words


def _turning() -> SharedGates:
    """Give the gates to a command that turns one: its log lines go to standard error, as JSON where nobody reads."""
    settings = load()
    configure_command(settings)
    return Wiring(settings).gates


def _asked(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except SettingsError as wrong:
        _refuse(str(wrong), 2)
    except (RedisError, LedgerError) as away:
        _refuse(f"the state store or the ledger is away: {type(away).__name__}", 1)


def _refuse(why: str, code: int) -> NoReturn:
    click.echo(f"pingpost gates: {why}", err=True)
    sys.exit(code)


def _say(scope: str, state: str, *, done: bool) -> None:
    click.echo(f"{scope}: {state}" if done else f"{scope}: was {state} already")
    sys.exit(0 if done else 1)

"""``pingpost gates``: which gates are closed, since when, until when, why, and how many leads they turned away."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click
from redis.exceptions import RedisError
from rich.console import Console
from rich.table import Table

from tasks.core.outcome import rfc3339
from tasks.gates import Gate, SharedGates
from tasks.ledger import LedgerError
from workers.services import Wiring
from workers.settings import SettingsError, load

_EPILOG = """\b
Exit codes:
  0  done
  1  the gate was already as asked, or the state store or the ledger is away
  2  bad settings or arguments
"""


@click.group("gates", invoke_without_command=True, epilog=_EPILOG)
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects.")
@click.pass_context
def command(context: click.Context, *, as_json: bool) -> None:
    """Show gates; open or close one by hand."""
    if context.invoked_subcommand is None:
        found = list(_gates().all())
        if as_json:
            click.echo(json.dumps([as_object(gate) for gate in found]))
        else:
            _show(found)


@command.command("close", epilog=_EPILOG)
@click.argument("scope")
@click.option("--reason", default="closed by an operator", show_default=True, help="Shown to whoever asks.")
def close(scope: str, reason: str) -> None:
    """Close a gate by hand, until it is opened by hand. SCOPE: partner:ID, category:NUMBER or subid:NAME."""
    if scope.partition(":")[0] not in ("partner", "category", "subid") or not scope.partition(":")[2]:
        raise click.BadParameter("must be partner:ID, category:NUMBER or subid:NAME", param_hint="SCOPE")
    done = _gates().close(scope, code=None, reason=reason, until=None)
    _say(scope, "closed", done=done)


@command.command("open", epilog=_EPILOG)
@click.argument("scope")
def open_(scope: str) -> None:
    """Open a gate by hand. SCOPE as `pingpost gates` shows it; `buyer` ends a wait for maintenance or pace."""
    _say(scope, "open", done=_gates().open(scope, "opened by an operator"))


def as_object(gate: Gate) -> dict[str, Any]:
    """Give a gate as the contract has it."""
    return {
        "scope": gate.scope,
        "state": "closed" if gate.closed else "open",
        "code": gate.code,
        "reason": gate.reason,
        "since": rfc3339(gate.since) if gate.since else None,
        "until": rfc3339(gate.until) if gate.until else None,
        "turned_away": gate.turned_away,
    }


def _gates() -> SharedGates:
    try:
        gates = Wiring(load()).gates
        gates.reset()
    except SettingsError as wrong:
        click.echo(f"pingpost gates: {wrong}", err=True)
        sys.exit(2)
    except (RedisError, LedgerError) as away:
        click.echo(f"pingpost gates: the state store or the ledger is away: {type(away).__name__}", err=True)
        sys.exit(1)
    return gates


def _show(found: Sequence[Gate]) -> None:
    table = Table("gate", "state", "code", "since", "until", "turned away", "why")
    for gate in found:
        shown = as_object(gate)
        colour = "red" if gate.closed else "green"
        cells = [shown["code"], shown["since"], shown["until"], gate.turned_away, gate.reason]
        table.add_row(gate.scope, f"[{colour}]{shown['state']}", *("" if cell is None else str(cell) for cell in cells))
    Console().print(table)


def _say(scope: str, state: str, *, done: bool) -> None:
    click.echo(f"{scope}: {state}" if done else f"{scope}: was {state} already")
    sys.exit(0 if done else 1)

"""``pingpost dead``: what could not be handled, with its cause."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import click
from kombu.exceptions import OperationalError
from rich.console import Console
from rich.table import Table

from workers.places import resolve
from workers.settings import SettingsError, load
from workers.topology import CALLS_INBOX, DEAD, LEADS_INBOX, REASON_HEADER, dead
from workers.transport import connect_to

_EPILOG = """\b
Exit codes:
  0  done
  1  no such dead letter, or the broker is away
  2  bad settings or arguments
"""
HOMES = {inbox.dead.name: inbox.queue for inbox in (LEADS_INBOX, CALLS_INBOX)}
QUEUES = {inbox.dead.name: inbox.dead for inbox in (LEADS_INBOX, CALLS_INBOX)} | {DEAD: dead}


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter: its place in its queue (from 1), why it is there, and the message itself."""

    queue: str
    place: int
    reason: str
    message: Any


@click.group("dead", invoke_without_command=True, epilog=_EPILOG)
@click.pass_context
def command(context: click.Context) -> None:
    """List, show, requeue or drop dead letters.

    Three queues hold them: `leads.dead` has messages that are no lead, `calls.dead` reports of calls that cannot be
    true; `dead` has tasks that a fault of ours broke. A lead that is put back is known by its id, and is never sold
    twice; so is a report.
    """
    if context.invoked_subcommand is None:
        context.invoke(list_)


@command.command("list", epilog=_EPILOG)
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects.")
def list_(*, as_json: bool = False) -> None:
    """List the dead letters; bodies are not shown, since they may hold identity."""
    rows = [{"queue": letter.queue, "number": letter.place, "reason": letter.reason} for letter in _each(_keep)]
    if as_json:
        click.echo(json.dumps(rows))
        return
    table = Table("queue", "number", "reason")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table if rows else "no dead letters")


@command.command("show", epilog=_EPILOG)
@click.argument("queue", type=click.Choice(list(QUEUES)))
@click.argument("number", type=click.IntRange(min=1))
def show(queue: str, number: int) -> None:
    """Show one dead letter whole. It may hold a caller's identity."""
    found = [letter for letter in _each(_keep) if (letter.queue, letter.place) == (queue, number)]
    if not found:
        _refuse(f"no dead letter {number} in {queue}", 1)
    click.echo(f"reason: {found[0].reason}", err=True)
    sys.stdout.buffer.write(_body(found[0].message) + b"\n")


@command.command("requeue", epilog=_EPILOG)
@click.argument("queue", type=click.Choice(list(QUEUES)))
@click.argument("number", type=click.IntRange(min=1))
def requeue(queue: str, number: int) -> None:
    """Put one dead letter of `leads.dead` back to `leads`, or of `calls.dead` to `calls`.

    A lead of `dead` has its outcome: it is only dropped.
    """
    if queue == DEAD:
        _refuse("a task of `dead` is not put back: its lead has the outcome `failed`", 2)
    _take(queue, number, back=True)


@command.command("drop", epilog=_EPILOG)
@click.argument("queue", type=click.Choice(list(QUEUES)))
@click.argument("number", type=click.IntRange(min=1))
def drop(queue: str, number: int) -> None:
    """Drop one dead letter for good."""
    _take(queue, number, back=False)


def _take(queue: str, number: int, *, back: bool) -> None:
    done = False

    def decide(connection: Any, letter: Letter) -> bool:
        nonlocal done
        if (letter.queue, letter.place) != (queue, number):
            return False
        if back:
            properties = letter.message.properties
            connection.Producer().publish(
                _body(letter.message),
                content_type="application/json",
                content_encoding="binary",
                routing_key=HOMES[queue].name,
                declare=[HOMES[queue]],
                delivery_mode=2,
                message_id=properties.get("message_id"),
                reply_to=properties.get("reply_to"),
                correlation_id=properties.get("correlation_id"),
                # The deadline counts from when it was sent: after a day in here nobody is on the line.
                timestamp=properties.get("timestamp"),
            )
        done = True
        return True

    for _ in _each(decide):
        pass
    if not done:
        _refuse(f"no dead letter {number} in {queue}", 1)
    click.echo("put back" if back else "dropped")


def _keep(_connection: Any, _letter: Letter) -> bool:
    return False


def _each(decide: Callable[[Any, Letter], bool]) -> Iterator[Letter]:
    """Go through every dead letter; those that `decide` says are done with leave their queue, the others stay."""
    try:
        settings = load()
        url = resolve(settings).broker_url
    except SettingsError as wrong:
        _refuse(str(wrong), 2)
    try:
        with connect_to(url) as connection:
            for name, queue in QUEUES.items():
                yield from _each_of(connection, name, queue, decide)
    except (OperationalError, OSError) as away:
        _refuse(f"the broker is away: {type(away).__name__}", 1)


def _each_of(connection: Any, name: str, queue: Any, decide: Callable[[Any, Letter], bool]) -> Iterator[Letter]:
    channel = connection.default_channel
    bound = queue(channel)
    bound.declare()
    place = 0
    while (message := bound.get(accept=["json"])) is not None:
        place += 1
        letter = Letter(name, place, _reason(message.headers), message)
        if decide(connection, letter):
            message.ack()
        yield letter
    # All others to their places, whatever came meanwhile: a number that was listed still names its letter. A
    # message's own requeue() would put it behind what came, on Redis.
    channel.basic_recover(requeue=True)


def _reason(headers: Any) -> str:
    deaths = (headers or {}).get("x-death") or [{}]
    return str((headers or {}).get(REASON_HEADER) or deaths[0].get("reason") or "unknown")


def _body(message: Any) -> bytes:
    body = message.body
    if isinstance(body, str):
        return body.encode()
    return bytes(body)


def _refuse(why: str, code: int) -> Any:
    click.echo(f"pingpost dead: {why}", err=True)
    sys.exit(code)

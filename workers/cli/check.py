"""``pingpost check``: whether settings are good and everything is reachable, and how an answer would be read."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from rich.console import Console
from sqlalchemy import text

from tasks.absence import class_name
from tasks.buyers.answers import Facts, read_facts
from tasks.buyers.letsmakealead.wire import interpret
from tasks.core.protocol import Call
from tasks.core.reasons import Answer, Unreadable
from tasks.ledger.away import why_away
from workers.places import without_password
from workers.readings import as_object
from workers.services import Wiring
from workers.settings import SettingsError, load
from workers.transport import connect_to

_EPILOG = """\b
Exit codes:
  0  all is well; with --answer: the answer can be read
  1  something cannot be reached; with --answer: it cannot be read
  2  bad settings or arguments; the line names the variable
"""
CONNECT_S = 3


@click.command("check", epilog=_EPILOG)
@click.option(
    "--answer", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A captured answer's body."
)
@click.option("--call", type=click.Choice([call.value for call in Call]), default="ping", show_default=True)
@click.option("--http-status", type=click.IntRange(100, 599), default=200, show_default=True)
@click.option("--content-type", help="The captured answer's content type.")
@click.option("--json", "as_json", is_flag=True, help="JSON.")
def command(*, answer: Path | None, call: str, http_status: int, content_type: str | None, as_json: bool) -> None:
    """Check settings and every connection; or, with --answer, show how a captured answer of the buyer's is read.

    No call is made to the buyer: its endpoints are only connected to.
    """
    try:
        settings = load()
        if answer is not None:
            read = _read(Wiring(settings), Call(call), answer.read_bytes(), content_type, http_status)
            _print({"call": call, **as_object(read)}, as_json=as_json)
            sys.exit(1 if isinstance(read, Unreadable) else 0)
        rows = list(_checks(Wiring(settings)))
    except SettingsError as wrong:
        click.echo(f"pingpost check: {wrong}", err=True)
        sys.exit(2)
    if as_json:
        click.echo(json.dumps([{"what": what, "ok": ok, "detail": detail} for what, ok, detail in rows]))
    else:
        for what, ok, detail in rows:
            Console().print(
                f"[{'green' if ok else 'red'}]{'ok ' if ok else 'NO '}[/] {what}: {detail}", highlight=False
            )
    sys.exit(0 if all(ok for _, ok, _ in rows) else 1)


def _read(wiring: Wiring, call: Call, body: bytes, content_type: str | None, http_status: int) -> Answer:
    """Read a captured answer just as one that has come over HTTP."""
    protocol = wiring.protocol
    facts: Facts | Unreadable = Unreadable(f"longer than {protocol.answer_bytes} bytes")
    if len(body) <= protocol.answer_bytes:
        facts = read_facts(body, content_type, wiring.mapping)
    return interpret(call, facts, http_status, protocol)


def _print(shown: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(shown))
        return
    for name, value in shown.items():
        if value is not None:
            click.echo(f"{name}: {value}")


def _checks(wiring: Wiring) -> Iterator[tuple[str, bool, str]]:
    settings = wiring.settings
    settings.require_credentials()
    wiring.require_endpoints()
    places = wiring.places
    yield "settings", True, "test mode: nothing sold counts" if settings.test_mode else "live"
    yield "tables", True, f"{len(wiring.protocol.categories)} categories, {len(wiring.protocol.codes)} codes"
    if wiring.ziplist is not None:
        yield "ziplist", True, str(settings.ziplist)
    _ = wiring.buyer
    yield _try("broker", places.broker_url, lambda: _connect_broker(places.broker_url))
    yield _try("state store", places.state_url, wiring.store.ping)
    yield _try(
        "ledger", places.ledger_url, lambda: wiring.ledger.read(lambda c: c.execute(text("SELECT 1 FROM leads")))
    )
    for call, url in wiring.buyer_config.endpoints.items():
        if url is None:
            continue
        what, ok, detail = _try(f"buyer, {call}", url, lambda url=url: _connect(url))  # type: ignore[misc]  # bound now
        warning = "; plain http: the caller's identity travels unencrypted" if url.startswith("http:") else ""
        yield what, ok, detail + warning


def _try(what: str, url: str, connect: Callable[[], Any]) -> tuple[str, bool, str]:
    shown = without_password(url)
    try:
        connect()
    except Exception as fault:  # noqa: BLE001 - whatever keeps it from answering is the answer
        return what, False, f"{shown}: {_why(fault)}"
    return what, True, shown


def _why(fault: Exception) -> str:
    return next(filter(None, (why_away(cause) for cause in _causes(fault))), None) or class_name(fault)


def _causes(fault: BaseException | None) -> Iterator[Exception]:
    while isinstance(fault, Exception):
        yield fault
        fault = fault.__cause__


def _connect_broker(url: str) -> None:
    with connect_to(url, connect_timeout=CONNECT_S) as connection:
        connection.ensure_connection(max_retries=1, timeout=CONNECT_S)


def _connect(url: str) -> None:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    with socket.create_connection((parts.hostname or "", port), timeout=CONNECT_S):
        pass

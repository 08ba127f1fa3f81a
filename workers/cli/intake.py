"""``pingpost intake``: the front door alone, and beside it the reader of `calls`."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final

import click
import structlog

from tasks.absence import Absence
from workers import health
from workers.intake import CallReceiver, Intake, Reader, Receiver, open_source
from workers.intake.callreports import STAGE
from workers.intake.loop import CALLS
from workers.metrics import State, broker_of, ledger_of, serve, store_of
from workers.places import is_store
from workers.services import Wiring
from workers.settings import SettingsError, load
from workers.topology import CALLS_INBOX
from workers.transport import connect_to, impatient

log = structlog.stdlib.get_logger()

_EPILOG = """\b
Exit codes:
  0  stopped by SIGTERM or SIGINT, its batch finished
  2  bad settings
"""
AGAIN_S: Final = 5.0


@click.command("intake", epilog=_EPILOG)
def command() -> None:
    """Take leads from the queue `leads` into the ledger, and start each on its way.

    Beside that, take what upstream tells of sold calls from the queue `calls` into the ledger. Runs until it is
    stopped, through the absence of broker and ledger; any number may run side by side.
    """
    try:
        settings = load()
        settings.require_credentials()
    except SettingsError as wrong:
        click.echo(f"pingpost intake: {wrong}", err=True)
        sys.exit(2)
    from workers.celery import app  # noqa: PLC0415 - it reads the settings when it is imported
    from workers.logging import configure  # noqa: PLC0415

    configure(settings, app.wiring.counts.line)
    try:
        app.wiring.require_endpoints()
        intake = _compose(app.wiring)
        registry = app.wiring.counts.registry("intake")
        registry.register(_state(app.wiring))
        end_metrics = serve(settings, registry)
    except SettingsError as wrong:
        click.echo(f"pingpost intake: {wrong}", err=True)
        sys.exit(2)
    stop = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    calls = threading.Thread(target=read_calls, args=[lambda: _compose_calls(app.wiring), stop], name="calls")
    calls.start()
    try:
        intake.run(stop)
    finally:
        stop.set()
        calls.join()
        end_metrics()


def read_calls(compose: Callable[[], Intake], stop: threading.Event) -> None:
    """Read reports of calls until `stop` is set. A fault of ours in that must not close the door to leads."""
    while not stop.is_set():
        try:
            compose().run(stop)
        except Exception as fault:  # noqa: BLE001 - see above
            cause = type(fault).__name__
            log.error("alarm", stage=STAGE, reason="a fault of ours", cause=cause)  # noqa: TRY400
            stop.wait(AGAIN_S)


def _compose_calls(wiring: Wiring) -> Intake:
    source = open_source(wiring.places.broker_url, CALLS_INBOX)
    # Its own absence: where only this queue is refused, the other one goes on.
    away, data = Absence("calls"), wiring.settings.data
    receiver = CallReceiver(wiring.ledger)
    return Intake(source, receiver, events=CALLS, alive=lambda: health.touch(data, "calls"), broker=away)


def _compose(wiring: Wiring) -> Intake:
    reader = Reader(
        protocol=wiring.protocol,
        defaults=wiring.defaults,
        route=wiring.route,
        test=wiring.settings.test_mode,
        keeps_keys=is_store(wiring.places.broker_url),
    )
    starter = wiring.starter
    receiver = Receiver(reader, wiring.ledger, wiring.teller, starter, starter.flush, measures=wiring.counts)
    source = open_source(wiring.places.broker_url)
    return Intake(source, receiver, alive=lambda: health.touch(wiring.settings.data, "intake"), broker=wiring.broker)


def _state(wiring: Wiring) -> State:
    """Give what the intake alone reads for metrics, since it knows all three."""
    url = wiring.places.broker_url
    return State(
        {
            "ledger": ledger_of(wiring.ledger, wiring.gates),
            "store": store_of(wiring.gates),
            "broker": broker_of(lambda: connect_to(url, transport_options=impatient(url))),
        }
    )

"""An intake in a process of its own, which kills itself at a chosen moment.

``python -m tests.frontdoor.doomed BROKER_URL LEDGER_URL MOMENT``, where MOMENT is ``start`` (committed, nothing
published), ``ack`` (published, nothing acknowledged), ``take`` (taken off the queue, nothing committed) or ``never``.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import structlog

from tasks.absence import Absence
from tasks.buyers.registry import load_protocol
from tasks.ledger import Ledger
from tests.frontdoor.house import DEFAULTS, route
from workers.intake import Intake, Reader, Receiver, open_source
from workers.places import is_store
from workers.tellers import open_teller


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def after(work: Callable[..., Any]) -> Callable[..., Any]:
    def done(*arguments: Any) -> Any:
        found = work(*arguments)
        if found:
            die()
        return found

    return done


def main(broker_url: str, ledger_url: str, moment: str) -> None:
    structlog.configure(
        processors=[structlog.processors.JSONRenderer()], logger_factory=structlog.WriteLoggerFactory(sys.stdout)
    )
    source: Any = open_source(broker_url)
    if moment == "ack":
        source.ack = die
    if moment == "take":
        source.take = after(source.take)
    reader = Reader(load_protocol(), DEFAULTS, route, test=False, keeps_keys=is_store(broker_url))
    start = die if moment == "start" else print
    receiver = Receiver(reader, Ledger.open(ledger_url), open_teller(broker_url, Absence("broker"), 4), start)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    Intake(source, receiver).run(stop)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Celery's worker: without its banner off a terminal, and with all that stands beside its queues declared."""

from __future__ import annotations

import sys
from typing import Any

from celery.apps.worker import Worker as CelerysWorker
from celery.bootsteps import StartStopStep

from workers.topology import declare_beside


class Worker(CelerysWorker):
    """Celery's worker. Where standard output is no terminal, every line of it is JSON: there is no banner."""

    def on_before_init(self, quiet: bool = False, **options: Any) -> None:
        """Keep quiet off a terminal."""
        super().on_before_init(quiet=quiet or not sys.stdout.isatty(), **options)


class Topology(StartStopStep):
    """Declares dead letters, `outcomes` and `calls` at each connection, before the first task is taken."""

    requires = ("celery.worker.consumer.connection:Connection",)

    def start(self, consumer: Any) -> None:
        """Declare."""
        declare_beside(consumer.connection)

"""Celery's worker: without its banner off a terminal, on one CPU, with all that stands beside its queues declared."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

from celery.apps.worker import Worker as CelerysWorker
from celery.bootsteps import StartStopStep

from tasks.absence import Absence
from tasks.away import why_broker_away
from workers import affinity
from workers.pool import TaskPool
from workers.topology import PING, POST, declare_beside


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
        consumer.app.wiring.broker.over()


class OneCpu(StartStopStep):
    """Has the threads that run tasks, and all others of the worker, share one CPU (`workers.affinity`)."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **_: Any) -> None:
        super().__init__(worker)
        self.pin: affinity.Pin | None = None

    def register_with_event_loop(self, worker: Any, hub: Any) -> None:
        """Take a CPU, and look out for a better one; called at each connection. A pool of processes keeps them all."""
        if self.pin is None:
            cpus = affinity.choices() if worker.app.settings.one_cpu and isinstance(worker.pool, TaskPool) else []
            if len(cpus) < 2:
                return
            self.pin = affinity.Pin(self._folder(worker.app), cpus)
        self.pin.keep()
        hub.call_repeatedly(affinity.LOOK_S, self.pin.look)

    def stop(self, _worker: Any) -> None:
        """Run anywhere again: a worker that starts anew (SIGHUP) is the same process, and would stay bound."""
        if self.pin is not None:
            self.pin.leave()

    terminate = stop

    def _folder(self, app: Any) -> Path:
        """Give where those lock their CPUs that are at work together.

        Where pings go on to their posts, workers of posts alone are not: they must take no CPU from those of pings.
        """
        apart = app.posts_at_once and PING not in app.amqp.queues.consume_from
        folder: Path = app.settings.data / affinity.FOLDER / (POST if apart else PING)
        return folder

    def info(self, _worker: Any) -> dict[str, Any]:
        """Give what `celery inspect stats` and Flower show."""
        return {"cpu": self.pin.cpu if self.pin else None}


class SaidOnce(logging.Filter):
    """Celery writes a line a try while the broker is away: instead, ours says it once."""

    def __init__(self, broker: Absence) -> None:
        super().__init__()
        self._broker = broker

    def filter(self, record: logging.LogRecord) -> bool:
        """Leave out what tells of a broker that is away."""
        told = record.args if isinstance(record.args, tuple) else ()
        thrown = record.exc_info[1] if record.exc_info else None
        # Beat wraps what was thrown.
        faults = (*told, thrown, thrown.__context__ if thrown else None)
        reasons = [why_broker_away(fault) for fault in faults if isinstance(fault, BaseException)]
        if not any(reasons):
            return True
        self._broker.begun(next(filter(None, reasons)))
        return False


def say_once(broker: Absence) -> None:
    """Let Celery's worker and beat say once that the broker is away, and once that it is back."""
    for name in ("celery.worker.consumer.consumer", "celery.beat"):
        logging.getLogger(name).addFilter(SaidOnce(broker))

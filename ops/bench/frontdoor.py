"""The front door alone: ``pingpost intake`` on a queue that is full."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select

from ops.bench.buyer import Buyer, Stalled
from ops.bench.contenders import PYTHON
from ops.bench.installation import clear, environment, leads_from
from ops.servers.own import OwnServer
from ops.servers.waiting import wait_until
from tasks.ledger import Ledger, migrate
from tasks.ledger.schema import leads
from workers.broker import length
from workers.producer import Producer
from workers.topology import LEADS, task_queues
from workers.transport import connect_to

INTAKE: Final = (*PYTHON, "workers.cli", "intake")
RUN_S: Final = 120


@dataclass(slots=True)
class FrontDoor:
    """An installation whose only part is the intake, which is not started yet."""

    own: OwnServer
    environment: Mapping[str, str]
    broker_url: str
    ledger: Ledger
    process: subprocess.Popen[bytes] | None = None

    def feed(self, count: int) -> None:
        """Put so many leads into the queue, confirmed."""
        with connect_to(self.broker_url) as connection, Producer(self.broker_url) as producer:
            for queue in task_queues("classic"):
                queue(connection.default_channel).declare()
            producer.publish_many(leads_from(count))

    def accepted_a_second(self, count: int) -> float:
        """Start the intake, wait until all so many leads are in, and reckon by the ledger's own clock.

        The leads of the first commit open the span, and do not count into it; nor do its start and its imports.

        Raises:
            Stalled: they do not come in.
        """
        self.process = self.own.run(INTAKE, env=self.environment)
        with connect_to(self.broker_url) as connection:
            if not wait_until(lambda: length(connection, LEADS) == 0 and self._count() == count, within_s=RUN_S):
                raise Stalled(f"{self._count()} of {count} leads came in: {self.own.output[-500:]}")
        began, ended, first = self.ledger.read(
            lambda connection: connection.execute(
                select(
                    func.min(leads.c.received_at),
                    func.max(leads.c.received_at),
                    select(func.count())
                    .where(leads.c.received_at == select(func.min(leads.c.received_at)).scalar_subquery())
                    .scalar_subquery(),
                )
            ).one()
        )
        return float(1000 * (count - first) / (ended - began))

    def _count(self) -> int:
        return int(
            self.ledger.read(lambda connection: connection.execute(select(func.count(leads.c.lead_id))).scalar_one())
        )


@contextmanager
def front_door(stub: Buyer, places: Mapping[str, str], state_url: str) -> Iterator[FrontDoor]:
    """Make one in a folder of its own, on a broker of the bench's."""
    own = OwnServer("bench-intake")
    broker_url = places["PINGPOST_BROKER_URL"]
    ledger_url = places.get("PINGPOST_LEDGER_URL") or f"sqlite:///{own.home}/ledger.sqlite3"
    settings = {"PINGPOST_STATE_URL": state_url, "PINGPOST_LEDGER_URL": ledger_url, "PINGPOST_LOG_FORMAT": "json"}
    try:
        clear(broker_url)
        migrate(ledger_url)
        ledger = Ledger.open(ledger_url)
        try:
            yield FrontDoor(own, environment(own.home, stub, {**places, **settings}), broker_url, ledger)
        finally:
            own.kill()
            ledger.close()
            clear(broker_url)
    finally:
        own.stop()

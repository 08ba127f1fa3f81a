"""The front door alone: ``pingpost intake`` on a queue that is full."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from ops.bench.buyer import Buyer, Stalled
from ops.bench.contenders import PYTHON
from ops.bench.installation import clear, environment, leads_from
from ops.servers.own import OwnServer
from ops.servers.waiting import wait_until
from tasks.ledger import migrate
from workers.broker import length
from workers.producer import Producer
from workers.topology import PING, task_queues
from workers.transport import connect_to

INTAKE: Final = (*PYTHON, "workers.cli", "intake")
RUN_S: Final = 120
LOOK_EVERY_S: Final = 0.005


@dataclass(frozen=True, slots=True)
class FrontDoor:
    """An installation whose only part is the intake, which is not started yet."""

    own: OwnServer
    environment: Mapping[str, str]
    broker_url: str

    def feed(self, count: int) -> None:
        """Put so many leads into the queue, confirmed."""
        with connect_to(self.broker_url) as connection, Producer(self.broker_url) as producer:
            for queue in task_queues("classic"):
                queue(connection.default_channel).declare()
            producer.publish_many(leads_from(count))

    def accepted_a_second(self, count: int) -> float:
        """Start the intake, and tell at which rate chains come out: what is started was committed before.

        What is there at the first look opens the span and does not count into it; nor do its start and its imports.

        Raises:
            Stalled: they do not come.
        """
        self.own.run(INTAKE, env=self.environment)
        with connect_to(self.broker_url) as connection:

            def started(number: int) -> bool:
                return wait_until(lambda: length(connection, PING) >= number, within_s=RUN_S, every_s=LOOK_EVERY_S)

            if not started(1):
                raise Stalled(f"the intake takes nothing in: {self.own.output[-500:]}")
            first, began = length(connection, PING), time.monotonic()
            if not started(count):
                raise Stalled(f"{length(connection, PING)} of {count} leads came in: {self.own.output[-500:]}")
            return (count - first) / (time.monotonic() - began)


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
        yield FrontDoor(own, environment(own.home, stub, {**places, **settings}), broker_url)
    finally:
        own.stop()
        clear(broker_url)

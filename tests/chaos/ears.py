"""Hears every outcome that is told to the exchange `outcomes`, again and again if it is told again."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Self

from kombu import Connection, Consumer, Exchange, Queue

from tasks.away import BROKER_AWAY
from tasks.telling import EXCHANGE
from workers.places import for_libraries


class Ears:
    """Listens in a thread of its own, through the broker's restarts."""

    def __init__(self, broker_url: str) -> None:
        self._url = for_libraries(broker_url)
        self._queue = Queue("chaos", Exchange(EXCHANGE, type="topic", durable=True), routing_key="#", durable=True)
        self._over = threading.Event()
        self._bound = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="ears", daemon=True)
        self.heard: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._bound.wait(30), "nobody listens to outcomes"
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _listen(self) -> None:
        while not self._over.is_set():
            try:
                with Connection(self._url, heartbeat=5) as connection:
                    self._hear(connection)
            except BROKER_AWAY:
                self._over.wait(0.2)

    def _hear(self, connection: Connection) -> None:
        with Consumer(connection.default_channel, [self._queue], callbacks=[self._take], accept=["json"]):
            self._bound.set()
            while not self._over.is_set():
                try:
                    connection.drain_events(timeout=0.5)
                except TimeoutError:
                    if connection.supports_heartbeats:
                        connection.heartbeat_check()

    def _take(self, outcome: Mapping[str, Any], message: Any) -> None:
        self.heard[str(outcome["lead_id"])].append(outcome)
        message.ack()

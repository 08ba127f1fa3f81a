"""Upstream, as the contract has it: somebody who sends plain JSON leads and reads plain JSON outcomes.

Nothing of pingpost's is imported here but the addresses that it is told.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import amqp
import redis
from kombu import Connection, Consumer, Exchange, Queue
from kombu.exceptions import OperationalError
from kombu.message import Message

from tests.integration.installation import wait_for

WITHIN_S = 30
# What kombu and the libraries below it raise when a broker hangs up, or is not there.
HUNG_UP = (OperationalError, amqp.AMQPError, redis.RedisError, OSError)


class Upstream:
    """Sends leads, asks for their outcomes by `reply_to`, and listens to the exchange `outcomes` besides.

    On AMQP an ask is `reply_to` and `correlation_id`; on Valkey a list's name inside the lead.
    """

    def __init__(self, broker_url: str) -> None:
        self._url = broker_url
        self._name = f"upstream-{uuid.uuid4().hex[:8]}"
        self._heard = _Ear(broker_url, "outcomes", "topic", "outcome.*", f"{self._name}.all")
        self._door = _AmqpDoor(broker_url, self._name) if broker_url.startswith("amqp") else _ListDoor(broker_url)

    def send(self, *leads: Mapping[str, Any]) -> None:
        """Send leads, each asking for its outcome."""
        for one in leads:
            self._door.send(one)

    def send_raw(self, body: bytes) -> None:
        """Send something that may be no lead."""
        self._door.send_raw(body)

    def report(self, lead_id: str, forwarded_at: str | None, duration_s: float) -> None:
        """Tell what became of a sold lead's call."""
        call = {"lead_id": lead_id, "forwarded_at": forwarded_at, "duration_s": duration_s}
        self._door.send_raw(json.dumps(call).encode(), "calls")

    def sell(self, *leads: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Send leads, and give their first direct outcomes in the same order."""
        self.send(*leads)
        return [self.answer(one["lead_id"]) for one in leads]

    def answer(self, lead_id: str, number: int = 1, *, within_s: float = WITHIN_S) -> dict[str, Any]:
        """Wait for the direct outcome that is a lead's first, second, and so on."""

        def there() -> dict[str, Any] | None:
            came = self._door.answers(lead_id)
            return came[number - 1] if len(came) >= number else None

        return wait_for(there, within_s, lambda: f"{lead_id}: only {self._door.answers(lead_id)}")

    def answers(self, lead_id: str) -> list[dict[str, Any]]:
        """All direct outcomes of a lead so far."""
        return self._door.answers(lead_id)

    def announced(self, lead_id: str) -> list[tuple[str, dict[str, Any]]]:
        """What came of a lead over the exchange so far: routing keys and outcomes."""
        every = [(key, json.loads(body)) for key, body in self._heard.messages]
        return [(key, outcome) for key, outcome in every if outcome["lead_id"] == lead_id]

    def close(self) -> None:
        """Go home."""
        self._heard.close()
        self._door.close()


class _Ear:
    """Listens on a queue of its own, in a thread."""

    def __init__(self, broker_url: str, exchange: str, kind: str, key: str, name: str) -> None:
        self.messages: list[tuple[str, str]] = []
        self._closed = threading.Event()
        self._ready = threading.Event()
        self._queue = Queue(name, Exchange(exchange, type=kind, durable=True), routing_key=key, durable=True)
        self._thread = threading.Thread(target=self._listen, args=(broker_url,), name=name, daemon=True)
        self._thread.start()
        assert self._ready.wait(WITHIN_S), "no broker to listen to"

    def close(self) -> None:
        self._closed.set()
        self._thread.join(WITHIN_S)

    def _listen(self, broker_url: str) -> None:
        while not self._closed.is_set():
            try:
                self._listen_once(broker_url)
            except HUNG_UP:
                # The queue is durable: what comes meanwhile waits there.
                self._closed.wait(0.1)

    def _listen_once(self, broker_url: str) -> None:
        with Connection(broker_url) as connection:
            with Consumer(connection, [self._queue], on_message=self._take):
                self._ready.set()
                while not self._closed.is_set():
                    with contextlib.suppress(socket.timeout):
                        connection.drain_events(timeout=0.1)
            self._queue(connection.default_channel).delete()

    def _take(self, message: Message) -> None:
        body = message.body if isinstance(message.body, str) else bytes(message.body).decode()
        self.messages.append((message.delivery_info["routing_key"], body))
        message.ack()


class _AmqpDoor:
    def __init__(self, broker_url: str, name: str) -> None:
        self._connection = amqp_connection(broker_url)
        self._channel = self._connection.channel()
        self._channel.queue_declare("leads", durable=True, auto_delete=False)
        self._reply_to = self._channel.queue_declare(f"{name}.replies", exclusive=True).queue
        self._came: dict[str, list[dict[str, Any]]] = {}
        self._asked: dict[str, str] = {}
        self._lock = threading.Lock()

    def send(self, lead: Mapping[str, Any]) -> None:
        correlation_id = uuid.uuid4().hex
        self._asked[correlation_id] = lead["lead_id"]
        self._publish(json.dumps(lead).encode(), "leads", reply_to=self._reply_to, correlation_id=correlation_id)

    def send_raw(self, body: bytes, to: str = "leads") -> None:
        self._publish(body, to)

    def answers(self, lead_id: str) -> list[dict[str, Any]]:
        with self._lock:
            while (message := self._channel.basic_get(self._reply_to, no_ack=True)) is not None:
                asked = self._asked[message.properties["correlation_id"]]
                outcome = json.loads(message.body)
                assert outcome["lead_id"] == asked, outcome
                self._came.setdefault(asked, []).append(outcome)
        return self._came.get(lead_id, [])

    def close(self) -> None:
        self._connection.close()

    def _publish(self, body: bytes, to: str, **properties: str) -> None:
        with self._lock:
            message = amqp.Message(body, content_type="application/json", delivery_mode=2, **properties)
            self._channel.basic_publish(message, routing_key=to)


class _ListDoor:
    def __init__(self, broker_url: str) -> None:
        self._client = redis.Redis.from_url(_for_redis(broker_url), decode_responses=True)

    def send(self, lead: Mapping[str, Any]) -> None:
        self._client.lpush("leads", json.dumps({**lead, "reply_to": f"mine.{lead['lead_id']}"}))

    def send_raw(self, body: bytes, to: str = "leads") -> None:
        self._client.lpush(to, body)

    def answers(self, lead_id: str) -> list[dict[str, Any]]:
        came: Sequence[Any] = self._client.lrange(f"mine.{lead_id}", 0, -1)
        return [json.loads(outcome) for outcome in reversed(came)]

    def close(self) -> None:
        self._client.close()


def amqp_connection(broker_url: str) -> amqp.Connection:
    """An open connection of a plain AMQP client."""
    with Connection(broker_url) as parsed:
        info = parsed.info()
    connection = amqp.Connection(
        f"{info['hostname']}:{info['port']}",
        userid=info["userid"],
        password=info["password"],
        virtual_host=info["virtual_host"],
    )
    connection.connect()
    return connection


def _for_redis(broker_url: str) -> str:
    """redis-py's form of kombu's URL of a Unix socket."""
    if not broker_url.startswith("redis+socket://"):
        return broker_url
    return broker_url.replace("redis+socket://", "unix://").replace("virtual_host=", "db=")

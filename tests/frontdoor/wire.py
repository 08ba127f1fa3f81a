"""Raw clients: producers and listeners that know the contract and nothing of our code."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

import amqp
import kombu
import redis

from ops.servers.waiting import wait_until
from workers.places import for_redis_py
from workers.transport import transport_options

HEARD = "test.heard"
_OUTCOMES = kombu.Exchange("outcomes", type="topic", durable=True)


@dataclass
class Letter:
    """What a listener got."""

    body: bytes
    headers: dict[str, Any] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body)


class Wire:
    """What both clients share: listening, for which kombu knows the ways of either broker."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection = kombu.Connection(url, transport_options=transport_options(url, 1))
        self._heard = kombu.Queue(HEARD, exchange=_OUTCOMES, routing_key="outcome.#", durable=True)

    def listen(self) -> None:
        """Bind a queue to the exchange of outcomes."""
        self._heard(self._connection.default_channel).declare()

    def outcomes(self, count: int = 1, within_s: float = 10) -> list[dict[str, Any]]:
        """Read so many outcomes from the exchange."""
        return [letter.json for letter in self.read(HEARD, count, within_s)]

    def read(self, queue: str, count: int = 1, within_s: float = 10) -> list[Letter]:
        """Read so many messages from a queue."""
        letters: list[Letter] = []

        def enough() -> bool:
            while len(letters) < count:
                try:
                    message = kombu.Queue(queue, durable=True, no_declare=True)(self._connection.default_channel).get()
                except amqp.NotFound:
                    return False  # nobody has declared it yet
                if message is None:
                    return False
                message.ack()
                body = message.body.encode() if isinstance(message.body, str) else bytes(message.body)
                letters.append(Letter(body, dict(message.headers), dict(message.properties)))
            return True

        assert wait_until(enough, within_s=within_s, every_s=0.01), f"{len(letters)} of {count} in {queue}"
        return letters

    def queue(self, name: str) -> str:
        """Declare a queue that somebody wants answers in."""
        kombu.Queue(name, durable=True)(self._connection.default_channel).declare()
        return name

    def send_kombu(self, body: Any, to: str = "leads", **properties: Any) -> None:
        """Publish as a kombu producer does."""
        producer = kombu.Producer(self._connection)
        producer.publish(body, exchange="", routing_key=to, declare=[kombu.Queue(to, durable=True)], **properties)

    def send(self, body: object, to: str = "leads", **properties: Any) -> None:
        raise NotImplementedError

    def depth(self, queue: str) -> int:
        raise NotImplementedError

    def empty(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        self._connection.close()


class AmqpWire(Wire):
    """py-amqp, as bare as it goes."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._amqp: amqp.Connection = self._connection.connection
        self.channel = self._amqp.channel()

    def send(self, body: object, to: str = "leads", **properties: Any) -> None:
        self.channel.queue_declare(to, durable=True, auto_delete=False)
        message = amqp.Message(encode(body), **{"delivery_mode": 2, **properties})
        self.channel.basic_publish(message, exchange="", routing_key=to)

    def depth(self, queue: str) -> int:
        _, count, _ = self.channel.queue_declare(queue, durable=True, auto_delete=False)
        return int(count)

    def empty(self) -> None:
        channel = self._amqp.channel()
        for queue in ("leads", "leads.dead", "calls", "calls.dead", HEARD, "answers", "ping", "post"):
            channel.queue_delete(queue)
        channel.close()


class RedisWire(Wire):
    """redis-py and LPUSH."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.client = redis.Redis.from_url(for_redis_py(url))

    def send(self, body: object, to: str = "leads", **properties: Any) -> None:
        if isinstance(body, dict):
            body = body | {name: value for name, value in properties.items() if name == "reply_to"}
        self.client.lpush(to, encode(body))

    def depth(self, queue: str) -> int:
        return int(self.client.llen(queue))

    def pop(self, name: str, within_s: float = 10) -> dict[str, Any]:
        """Read one plain answer from a list."""
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            if found := self.client.brpop([name], timeout=1):
                return json.loads(found[1])
        raise AssertionError(f"nothing in {name}")

    def empty(self) -> None:
        self.client.flushdb()

    def close(self) -> None:
        super().close()
        self.client.close()


def encode(body: object) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()

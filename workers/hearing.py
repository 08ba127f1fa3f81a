"""Hearing outcomes: one reply queue a process, read by one thread, whichever broker carries it."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from workers.broker import hang_up
from workers.places import for_redis_py
from workers.topology import is_redis
from workers.transport import CONNECT_S, connect_to

WAIT_S: Final = 0.5
HEARTBEAT_S: Final = 20
Outcome = dict[str, Any]
Heard = Callable[[str, Outcome], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """How one lead asks for its outcome. `key` is what `Ear.hear` gives with the outcome that answers it.

    A `field` goes into the JSON object; `reply_to` and `correlation_id` are AMQP's properties.
    """

    key: str
    reply_to: str | None = None
    correlation_id: str | None = None
    field: str | None = None


class Ear(Protocol):
    """A reply queue. Used by one thread, but for `ask`."""

    def open(self) -> None:
        """Connect, so that from now on answers find their queue. What was told before may be lost."""
        ...

    def ask(self, lead_id: str, key: str | None, taken: Callable[[str], bool]) -> Asked:
        """Say how a lead asks, under `key` where it has asked before; `taken` tells which keys are in use."""
        ...

    def hear(self, heard: Heard) -> None:
        """Wait shortly for answers, and hand each on.

        Raises:
            BROKER_AWAY: open it again, and ask again for what has not come.
        """
        ...

    def drop(self) -> None:
        """Let go of the connection. Never raises."""
        ...


def open_ear(broker_url: str) -> Ear:
    """Give the ear for a broker's URL (as kombu takes it). Nothing is connected yet."""
    return RedisEar(broker_url) if is_redis(broker_url) else AmqpEar(broker_url)


class AmqpEar:
    """An exclusive queue, gone with its connection; each opening has one of a new name. Keys are correlation ids."""

    def __init__(self, broker_url: str) -> None:
        self._broker_url = broker_url
        self._connection: Any = None
        self._arrived: list[Any] = []
        self._queue = ""
        self._next_beat = 0.0

    def open(self) -> None:
        """See `Ear.open`."""
        options = {"connect_timeout": CONNECT_S}
        self._connection = connect_to(self._broker_url, heartbeat=HEARTBEAT_S, transport_options=options)
        self._connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
        channel = self._connection.channel()
        self._arrived.clear()
        queue = f"pingpost.reply.{uuid.uuid4().hex}"
        channel.queue_declare(queue, exclusive=True, auto_delete=True)
        channel.basic_consume(queue, no_ack=True, callback=self._arrived.append)
        self._queue = queue

    def ask(self, lead_id: str, key: str | None, taken: Callable[[str], bool]) -> Asked:  # noqa: ARG002 - see `Ear`
        """See `Ear.ask`."""
        key = key or uuid.uuid4().hex
        return Asked(key, reply_to=self._queue, correlation_id=key)

    def hear(self, heard: Heard) -> None:
        """See `Ear.hear`."""
        with contextlib.suppress(TimeoutError):
            self._connection.drain_events(timeout=WAIT_S)
        if time.monotonic() >= self._next_beat:
            self._next_beat = time.monotonic() + 1
            self._connection.heartbeat_check()
        while self._arrived:
            message = self._arrived.pop(0)
            key, outcome = message.properties.get("correlation_id"), _outcome(message.body)
            if key and outcome is not None:
                heard(key, outcome)

    def drop(self) -> None:
        """See `Ear.drop`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            hang_up(connection)


class RedisEar:
    """Plain lists. They know no correlation, so keys are made of a list's name and the lead's id.

    One list does for all leads but those that ask twice at a time under one id: each further asking has its own.
    """

    def __init__(self, broker_url: str) -> None:
        self._client = redis.Redis.from_url(
            for_redis_py(broker_url),
            socket_timeout=10,
            socket_connect_timeout=CONNECT_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._name = f"reply.{uuid.uuid4().hex}"
        self._lists = [f"{self._name}.0"]
        self._growing = threading.Lock()

    def open(self) -> None:
        """See `Ear.open`."""
        self._client.ping()

    def ask(self, lead_id: str, key: str | None, taken: Callable[[str], bool]) -> Asked:
        """See `Ear.ask`."""
        if key is None:
            place = 0
            while taken(f"{self._name}.{place}/{lead_id}"):
                place += 1
            key = f"{self._name}.{place}/{lead_id}"
            with self._growing:
                if place == len(self._lists):
                    self._lists = [*self._lists, f"{self._name}.{place}"]
        return Asked(key, field=key.partition("/")[0])

    def hear(self, heard: Heard) -> None:
        """See `Ear.hear`."""
        found: Any = self._client.brpop(self._lists, timeout=WAIT_S)
        while found:
            name, body = found
            outcome = _outcome(body)
            if outcome is not None:
                heard(f"{name.decode()}/{outcome.get('lead_id')}", outcome)
            more: Any = self._client.rpop(name)
            found = more and (name, more)

    def drop(self) -> None:
        """See `Ear.drop`."""
        self._client.close()


def _outcome(body: bytes | str) -> Outcome | None:
    """Read an outcome; anybody can write to a queue, and what is none is passed over."""
    try:
        found = json.loads(body)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None

"""Sending leads to the broker, confirmed: what a producer publishes with. Not safe under threads."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import redis
from amqp import Message
from amqp.exceptions import MessageNacked
from redis.backoff import NoBackoff
from redis.retry import Retry

from workers.broker import hang_up
from workers.places import for_redis_py
from workers.topology import LEADS, is_redis, leads
from workers.transport import CONNECT_S, connect_to

WINDOW: Final = 200
CONFIRM_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Parcel:
    """A lead on its way to the queue `leads`. `reply_to` and `correlation_id` are AMQP's; a list knows neither."""

    body: bytes = field(repr=False)
    message_id: str
    reply_to: str | None = None
    correlation_id: str | None = None


class Sender(Protocol):
    """Publishes parcels in their order; connects when it has to."""

    def send(self, parcels: Sequence[Parcel]) -> None:
        """Publish; returns when the broker has all of them.

        Raises:
            BROKER_AWAY: any of them may have been published.
        """
        ...

    def drop(self) -> None:
        """Forget a connection that broke. Never raises."""
        ...


def open_sender(broker_url: str) -> Sender:
    """Give the sender for a broker's URL (as kombu takes it). Nothing is connected yet."""
    return RedisSender(broker_url) if is_redis(broker_url) else AmqpSender(broker_url)


class AmqpSender:
    """Publishes without waiting for each message; waits for the confirmations of a whole window."""

    def __init__(self, broker_url: str) -> None:
        self._broker_url = broker_url
        self._connection: Any = None
        self._channel: Any = None
        self._last = 0
        self._open: dict[int, None] = {}
        self._refused = False

    def send(self, parcels: Sequence[Parcel]) -> None:
        """See `Sender.send`."""
        if self._channel is None:
            self._connect()
        for start in range(0, len(parcels), WINDOW):
            for parcel in parcels[start : start + WINDOW]:
                self._publish(parcel)
            self._wait()

    def drop(self) -> None:
        """See `Sender.drop`."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            hang_up(connection)

    def _connect(self) -> None:
        connection = connect_to(self._broker_url, transport_options={"connect_timeout": CONNECT_S})
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
        self._connection = connection
        channel = connection.channel()
        leads(channel).declare()  # what cannot be routed is confirmed, and dropped
        channel.confirm_select()
        channel.events["basic_ack"].add(self._on_ack)
        channel.events["basic_nack"].add(self._on_nack)
        self._last, self._open, self._refused = 0, {}, False
        self._channel = channel

    def _publish(self, parcel: Parcel) -> None:
        given = {"reply_to": parcel.reply_to, "correlation_id": parcel.correlation_id}
        message = Message(
            parcel.body,
            content_type="application/json",
            content_encoding="utf-8",
            delivery_mode=2,
            message_id=parcel.message_id,
            timestamp=math.ceil(time.time()),  # whole seconds: rounded so that no lead loses of its time
            **{name: value for name, value in given.items() if value is not None},
        )
        self._last += 1
        self._open[self._last] = None
        self._channel.basic_publish(message, exchange="", routing_key=LEADS)

    def _wait(self) -> None:
        deadline = time.monotonic() + CONFIRM_S
        while self._open:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise TimeoutError("the broker does not confirm")
            self._connection.drain_events(timeout=left_s)
        if self._refused:
            self._refused = False
            raise MessageNacked

    def _on_ack(self, tag: int, multiple: bool) -> None:
        if multiple:
            self._open = {number: None for number in self._open if number > tag}
        else:
            self._open.pop(tag, None)

    def _on_nack(self, tag: int, multiple: bool) -> None:
        self._refused = True
        self._on_ack(tag, multiple)


class RedisSender:
    """Pushes plain JSON objects: the answer to the push is the confirmation."""

    def __init__(self, broker_url: str) -> None:
        self._client = redis.Redis.from_url(
            for_redis_py(broker_url),
            socket_timeout=CONFIRM_S,
            socket_connect_timeout=CONNECT_S,
            retry=Retry(NoBackoff(), 0),
        )

    def send(self, parcels: Sequence[Parcel]) -> None:
        """See `Sender.send`."""
        for start in range(0, len(parcels), WINDOW):
            self._client.lpush(LEADS, *(parcel.body for parcel in parcels[start : start + WINDOW]))

    def drop(self) -> None:
        """See `Sender.drop`."""
        with contextlib.suppress(redis.RedisError, OSError):
            self._client.close()

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

from tasks.publishing import ConfirmedChannel
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
        self._channel: ConfirmedChannel | None = None

    def send(self, parcels: Sequence[Parcel]) -> None:
        """See `Sender.send`."""
        channel = self._channel or self._connect()
        try:
            for start in range(0, len(parcels), WINDOW):
                for parcel in parcels[start : start + WINDOW]:
                    channel.publish(_message(parcel), exchange="", routing_key=LEADS)
                if channel.wait(CONFIRM_S):
                    raise MessageNacked
        except BaseException:
            self.drop()  # what was made ready must not go out with what is sent next
            raise

    def drop(self) -> None:
        """See `Sender.drop`."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            hang_up(connection)

    def _connect(self) -> ConfirmedChannel:
        connection = connect_to(self._broker_url, transport_options={"connect_timeout": CONNECT_S})
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
        self._connection = connection
        channel = ConfirmedChannel(connection)
        leads(channel.channel).declare()  # what cannot be routed is confirmed, and dropped
        self._channel = channel
        return channel


def _message(parcel: Parcel) -> Message:
    given = {"reply_to": parcel.reply_to, "correlation_id": parcel.correlation_id}
    return Message(
        parcel.body,
        content_type="application/json",
        content_encoding="utf-8",
        delivery_mode=2,
        message_id=parcel.message_id,
        timestamp=math.ceil(time.time()),  # whole seconds: rounded so that no lead loses of its time
        **{name: value for name, value in given.items() if value is not None},
    )


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

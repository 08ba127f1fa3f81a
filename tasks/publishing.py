"""Publishing many messages at once: over AMQP with one wait for all their confirmations, on Redis in one round trip."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from amqp import Message
from amqp.exceptions import RecoverableConnectionError
from kombu import Connection
from kombu.exceptions import BatchPublishError, OperationalError
from kombu.pools import producers
from redis.exceptions import RedisError

from tasks.frames import published
from tasks.together import Together, Turn

CONFIRM_S: Final = 5.0
LARGEST_GROUP: Final = 64
# What says that no broker is at the other end, and nothing of the messages.
NOBODY_THERE: Final = (OSError, OperationalError, RecoverableConnectionError)
# The same on Redis, where a message that the server refuses looks no different.
NOBODY_THERE_ON_REDIS: Final = (OSError, OperationalError, RedisError)


class ConfirmedChannel:
    """A channel on which nothing is waited for until all is sent. Not safe under threads."""

    def __init__(self, connection: Connection) -> None:
        """Open it on a kombu connection that is established, and does not confirm each message itself."""
        self._connection = connection
        self.channel: Any = connection.channel()
        self.channel.confirm_select()
        self.channel.events["basic_ack"].add(self._on_ack)
        self.channel.events["basic_nack"].add(self._on_nack)
        self._outgoing: list[bytes] = []
        self._last = 0
        self._open: dict[int, None] = {}
        self._refused: set[int] = set()

    def publish(self, message: Message, *, exchange: str, routing_key: str) -> int:
        """Make a message ready to be sent with the next `wait`, and give its number.

        Raises:
            RecoverableConnectionError: the connection is closed.
            Exception: nobody can write it (`frames.published`).
        """
        connection = self._its_connection()
        number, most = self.channel.channel_id, connection.frame_max
        self._outgoing.append(published(message, number, most, exchange=exchange, routing_key=routing_key))
        self._last += 1
        self._open[self._last] = None
        return self._last

    def wait(self, within_s: float) -> set[int]:
        """Send all, and wait until the broker has answered for all; gives the numbers of those that it refuses.

        Raises:
            BROKER_AWAY: any of them may have been published.
        """
        deadline = time.monotonic() + within_s
        self._send()
        while self._open:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise TimeoutError("the broker does not confirm")
            self._connection.drain_events(timeout=left_s)
        refused, self._refused = self._refused, set()
        return refused

    def _its_connection(self) -> Any:
        if self.channel.connection is None:
            raise RecoverableConnectionError("the connection is closed")
        return self.channel.connection

    def _send(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        connection = self._its_connection()
        connection.transport.write(b"".join(outgoing))
        connection.bytes_sent += 1  # by which py-amqp knows whether a heartbeat is due

    def _on_ack(self, tag: int, multiple: bool) -> None:
        if multiple:
            self._open = {number: None for number in self._open if number > tag}
        else:
            self._open.pop(tag, None)

    def _on_nack(self, tag: int, multiple: bool) -> None:
        self._refused |= {number for number in self._open if number <= tag} if multiple else {tag}
        self._on_ack(tag, multiple)


@dataclass(frozen=True, slots=True)
class Letter:
    """A message, and where it goes."""

    message: Message = field(repr=False)
    exchange: str
    routing_key: str


class Publishes(Protocol):
    """Somewhere to publish."""

    def publish(self, letters: Sequence[Letter]) -> list[bool]:
        """Publish; returns when the broker has them. Gives of each whether it was taken: a full queue may refuse.

        Raises:
            BROKER_AWAY: any of them may have been published.
        """
        ...


class ListPublisher:
    """Publishes onto kombu's lists on Redis and Valkey, what is handed in together in one go. Safe under threads."""

    def __init__(self, connection: Connection) -> None:
        """Take a kombu connection; nothing is connected yet."""
        self._producers = producers[connection]

    def publish(self, letters: Sequence[Letter]) -> list[bool]:
        """See `Publishes.publish`. A letter's routing key is its queue's name: no exchange is looked up."""
        try:
            self._send(letters)
        except NOBODY_THERE_ON_REDIS:
            self._send(letters)  # it may have closed an idle connection: once more, over a new one
        return [True] * len(letters)

    def _send(self, letters: Sequence[Letter]) -> None:
        try:
            with self._producers.acquire(block=True, timeout=CONFIRM_S) as producer, producer.batch():
                for letter in letters:
                    told = dict(letter.message.properties)
                    headers = told.pop("application_headers", None)
                    producer.publish(letter.message.body, routing_key=letter.routing_key, headers=headers, **told)
        except BatchPublishError as fault:
            raise OperationalError(type(fault.__cause__ or fault).__name__) from fault


_Group = Sequence[Turn[Sequence[Letter], list[bool]]]


class Publisher:
    """Publishes what threads hand in over one connection, many at once. Safe under threads.

    `connect` gives an established connection that confirms nothing by itself; `prepare` is handed its channel.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        prepare: Callable[[Any], object],
        hang_up: Callable[[Connection], object],
    ) -> None:
        self._connect, self._prepare, self._hang_up = connect, prepare, hang_up
        self._together: Together[Sequence[Letter], list[bool]] = Together(self._publish, LARGEST_GROUP)
        self._connection: Connection | None = None
        self._channel: ConfirmedChannel | None = None

    def publish(self, letters: Sequence[Letter]) -> list[bool]:
        """See `Publishes.publish`."""
        taken: list[bool] = self._together.run(letters)
        return taken

    def close(self) -> None:
        """Let the connection go; a later message opens a new one. Never raises."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            self._hang_up(connection)

    def _publish(self, group: _Group) -> None:
        try:
            try:
                self._send(group)
            except TimeoutError:
                raise
            except NOBODY_THERE:
                self._send(group)  # it may have closed an idle connection: once more, all together, over a new one
        except NOBODY_THERE:
            raise
        except Exception:
            if len(group) == 1:
                raise
            self._send_alone(group)

    def _send_alone(self, group: _Group) -> None:
        """Send each over a connection of its own: what the broker closes one for, or nobody can write, is one's own."""
        for turn in group:
            try:
                self._send([turn])
            except Exception as fault:  # noqa: BLE001 - whatever it is, `Together` raises it in the thread that asked
                turn.end(error=fault)

    def _send(self, group: _Group) -> None:
        try:
            channel = self._channel or self._open()
            numbers = [
                [channel.publish(it.message, exchange=it.exchange, routing_key=it.routing_key) for it in turn.item]
                for turn in group
            ]
            refused = channel.wait(CONFIRM_S)
        except BaseException:
            self.close()
            raise
        for turn, its in zip(group, numbers, strict=True):
            turn.end([number not in refused for number in its])

    def _open(self) -> ConfirmedChannel:
        self._connection = self._connect()
        self._channel = ConfirmedChannel(self._connection)
        self._prepare(self._channel.channel)
        return self._channel

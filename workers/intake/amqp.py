"""A queue of upstream's on RabbitMQ, or whatever speaks AMQP 0-9-1."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from workers.broker import hang_up
from workers.forgiving import UNREADABLE
from workers.intake.burial import Burial
from workers.intake.message import Message
from workers.intake.source import LARGEST_BATCH
from workers.topology import Inbox
from workers.transport import connect_to

PREFETCH: Final = 200
HEARTBEAT_S: Final = 30
ACK_S: Final = 5


class AmqpSource:
    """Consumes with prefetch and acknowledges batch by batch. Bodies stay the bytes that were sent."""

    def __init__(self, broker_url: str, inbox: Inbox) -> None:
        self._broker_url = broker_url
        self._inbox = inbox
        self._burial = Burial(broker_url, inbox)
        self._arrived: deque[Any] = deque()
        self._connection: Any = None
        self._channel: Any = None
        self._next_tick = 0.0

    def open(self) -> None:
        """See `Source.open`."""
        self._connection = connect_to(self._broker_url, heartbeat=HEARTBEAT_S)
        self._connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
        self._arrived.clear()
        self._channel = self._connection.channel()
        self._channel.auto_decode = False  # a content encoding is the sender's claim; we read UTF-8 or nothing
        for queue in (self._inbox.queue, self._inbox.dead):
            queue(self._channel).declare()
        self._channel.basic_qos(0, PREFETCH, False)
        self._channel.basic_consume(self._inbox.name, callback=self._arrived.append)

    def take(self, wait_s: float) -> list[Message]:
        """See `Source.take`."""
        if not self._arrived:
            self._hear(wait_s)
        while len(self._arrived) < LARGEST_BATCH and self._hear(0):
            pass
        return [_message(self._arrived.popleft()) for _ in range(min(len(self._arrived), LARGEST_BATCH))]

    def ack(self, batch: Sequence[Message]) -> None:
        """See `Source.ack`. One frame: everything before the last of this batch was acknowledged before."""
        self._channel.basic_ack(batch[-1].token, multiple=True)

    def bury(self, message: Message, reason: str) -> None:
        """See `Source.bury`."""
        self._burial.bury(message, reason)

    def tick(self) -> None:
        """See `Source.tick`: heartbeats out, and in."""
        now = time.monotonic()
        if now >= self._next_tick:
            self._next_tick = now + 1
            while self._hear(0):  # at most what is prefetched
                pass
            self._connection.heartbeat_check()

    def drop(self) -> None:
        """See `Source.drop`."""
        connection, self._connection, self._channel = self._connection, None, None
        self._arrived.clear()
        if connection is not None:
            hang_up(connection)
        self._burial.drop()

    def close(self) -> None:
        """See `Source.close`: the broker requeues at once what a closed connection had not acknowledged."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            connection.close()
        self._burial.close()

    def _hear(self, wait_s: float) -> bool:
        """Handle one thing that the broker says. False: it said nothing for so long."""
        try:
            self._connection.drain_events(timeout=wait_s)
        except TimeoutError:
            return False
        return True


def _message(raw: Any) -> Message:
    properties = raw.properties
    return Message(
        body=raw.body if isinstance(raw.body, bytes) else str(raw.body).encode("utf-8", "surrogatepass"),
        message_id=properties.get("message_id"),
        reply_to=properties.get("reply_to"),
        correlation_id=properties.get("correlation_id"),
        timestamp=properties.get("timestamp"),
        content_type=properties.get("content_type"),
        redelivered=bool(raw.delivery_info["redelivered"]),
        unreadable=UNREADABLE if properties.get("type") == UNREADABLE else None,
        token=raw.delivery_tag,
    )

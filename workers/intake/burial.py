"""The queues `leads.dead` and `calls.dead`: messages that cannot be read, whole, with the reason in a header."""

from __future__ import annotations

from typing import Any, Final

from kombu import Producer

from workers.broker import hang_up
from workers.intake.message import Message
from workers.topology import REASON_HEADER, Inbox
from workers.transport import connect_to

CONFIRM_S: Final = 5
_RETRY: Final = {"max_retries": 2, "interval_start": 0.05, "interval_step": 0.2, "interval_max": 0.5}


class Burial:
    """Publishes to an inbox's dead letters, on a connection of its own: a broker under alarm blocks who publishes."""

    def __init__(self, broker_url: str, inbox: Inbox) -> None:
        self._broker_url = broker_url
        self._dead = inbox.dead
        self._connection: Any = None

    def bury(self, message: Message, reason: str) -> None:
        """Publish; returns when the broker has it.

        Raises:
            BROKER_AWAY: it may have been published.
        """
        if self._connection is None:
            self._connection = connect_to(self._broker_url)
        Producer(self._connection).publish(
            message.body,
            routing_key=self._dead.name,
            declare=[self._dead],
            headers={REASON_HEADER: reason},
            content_type=message.content_type or "application/octet-stream",
            content_encoding="binary",
            delivery_mode=2,
            retry=True,
            retry_policy=_RETRY,
            confirm_timeout=CONFIRM_S,
            **_given(message),
        )

    def drop(self) -> None:
        """Forget a connection that broke."""
        connection, self._connection = self._connection, None
        if connection is not None:
            hang_up(connection)

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _given(message: Message) -> dict[str, object]:
    properties = {
        "message_id": message.message_id,
        "reply_to": message.reply_to,
        "correlation_id": message.correlation_id,
        "timestamp": message.timestamp,
    }
    return {name: value for name, value in properties.items() if value is not None}

"""What all who talk to a broker share, whichever it is."""

from __future__ import annotations

import contextlib
from typing import Any

from kombu import Connection, Queue

from tasks.away import BROKER_AWAY


def length(connection: Connection, queue: str) -> int:
    """Count the messages that lie in a queue, without those in somebody's hands; 0 where there is no such queue."""
    with contextlib.suppress(*connection.channel_errors), connection.channel() as channel:
        return int(Queue(queue)(channel).queue_declare(passive=True).message_count)
    return 0  # on Redis an empty queue is none


def hang_up(connection: Any) -> None:
    """Close a kombu connection without a word to the broker, which may not be there to answer."""
    with contextlib.suppress(*BROKER_AWAY, AttributeError):
        if connection.connected and hasattr(connection.connection, "collect"):
            connection.connection.collect()
        else:
            connection.close()

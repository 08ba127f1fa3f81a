"""What all who talk to a broker share, whichever it is."""

from __future__ import annotations

import contextlib
from typing import Any, Final

from amqp.exceptions import AMQPError, MessageNacked
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

# kombu, py-amqp and redis-py each have their own errors for a broker that is away, beside those of sockets.
BROKER_AWAY: Final = (OperationalError, AMQPError, MessageNacked, RedisError, OSError)


def hang_up(connection: Any) -> None:
    """Close a kombu connection without a word to the broker, which may not be there to answer."""
    with contextlib.suppress(*BROKER_AWAY, AttributeError):
        if connection.connected and hasattr(connection.connection, "collect"):
            connection.connection.collect()
        else:
            connection.close()

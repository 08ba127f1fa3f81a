"""What kombu, py-amqp and redis-py raise, beside the errors of sockets, for a broker that is away or that refuses."""

from __future__ import annotations

from typing import Final

from amqp.exceptions import AMQPError, MessageNacked
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from tasks.absence import class_name

BROKER_AWAY: Final = (OperationalError, AMQPError, MessageNacked, RedisError, OSError)


def why_broker_away(fault: BaseException) -> str | None:
    """Name an error of a broker's that is away; None for all others. An AMQP one has the broker's own words."""
    if not isinstance(fault, BROKER_AWAY):
        return None
    if isinstance(fault, AMQPError) and fault.reply_text:
        return f"{type(fault).__name__}: {fault.reply_text}"
    return class_name(fault)

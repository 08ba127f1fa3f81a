"""What kombu, py-amqp and redis-py raise, beside the errors of sockets, for a broker that is away or that refuses."""

from __future__ import annotations

from typing import Final

from amqp.exceptions import AMQPError, MessageNacked
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

BROKER_AWAY: Final = (OperationalError, AMQPError, MessageNacked, RedisError, OSError)

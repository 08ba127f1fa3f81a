"""The front door: queue `leads` → ledger → chain.

Two sources hand out messages in one shape (`amqp`, `redis`); what becomes of a message is the same for both (`reading`:
is it a lead; `receiver`: into the ledger, to the chain, to the producer). `loop` keeps it going.
"""

from __future__ import annotations

from workers.intake.amqp import AmqpSource
from workers.intake.loop import Intake
from workers.intake.reading import Reader
from workers.intake.receiver import Receiver
from workers.intake.redis import RedisSource
from workers.intake.source import Source
from workers.topology import is_redis

__all__ = ["AmqpSource", "Intake", "Reader", "Receiver", "RedisSource", "Source", "open_source"]


def open_source(broker_url: str) -> Source:
    """Give the source for a broker's URL (as kombu takes it). Nothing is connected yet."""
    return RedisSource(broker_url) if is_redis(broker_url) else AmqpSource(broker_url)

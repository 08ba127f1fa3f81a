"""What upstream sends: queue `leads` → ledger → chain, the front door; and queue `calls` → ledger.

Two sources hand out an inbox's messages in one shape (`amqp`, `redis`); what becomes of a message is the same for both
(leads: `reading`, is it one; `receiver`, into the ledger, to the chain, to the producer; reports of calls:
`callreports`). `loop` keeps each going.
"""

from __future__ import annotations

from workers.intake.amqp import AmqpSource
from workers.intake.callreports import CallReceiver
from workers.intake.loop import Intake
from workers.intake.reading import Reader
from workers.intake.receiver import Receiver
from workers.intake.redis import RedisSource
from workers.intake.source import Source
from workers.topology import LEADS_INBOX, Inbox, is_redis

__all__ = ["AmqpSource", "CallReceiver", "Intake", "Reader", "Receiver", "RedisSource", "Source", "open_source"]


def open_source(broker_url: str, inbox: Inbox = LEADS_INBOX) -> Source:
    """Give the source of an inbox for a broker's URL (as kombu takes it). Nothing is connected yet."""
    return RedisSource(broker_url, inbox) if is_redis(broker_url) else AmqpSource(broker_url, inbox)

"""Exchanges, queues, dead letters: every name on the broker, in one place.

`leads` has no arguments, so that any client can declare it; ours beside it carry dead letters to `dead`. The queues
that a worker of Celery's shall not eat (`leads`, `leads.dead`, `dead`, `calls`) stay out of `task_queues`.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from kombu import Exchange, Queue

LEADS: Final = "leads"
LEADS_DEAD: Final = "leads.dead"
DEAD: Final = "dead"
CALLS: Final = "calls"
PING: Final = "ping"
POST: Final = "post"
UPKEEP: Final = "upkeep"
OUTCOMES: Final = "outcomes"
OURS: Final = frozenset({LEADS, LEADS_DEAD, DEAD, CALLS, PING, POST, UPKEEP, OUTCOMES})

REASON_HEADER: Final = "x-reason"
QueueType = Literal["classic", "quorum"]

outcomes = Exchange(OUTCOMES, type="topic", durable=True)
dead_letters = Exchange(DEAD, type="fanout", durable=True)
leads = Queue(LEADS, durable=True)
leads_dead = Queue(LEADS_DEAD, durable=True)
calls = Queue(CALLS, durable=True)
dead = Queue(DEAD, exchange=dead_letters, durable=True)


def task_queues(queue_type: QueueType) -> tuple[Queue, ...]:
    """Give the queues of Celery's workers. On RabbitMQ they are of `queue_type`; other brokers ignore arguments."""
    # Native delays of quorum queues need a topic exchange. It has a name of its own, since an exchange keeps its type.
    exchange = (
        Exchange("tasks.quorum", type="topic", durable=True)
        if queue_type == "quorum"
        else Exchange("tasks", type="direct", durable=True)
    )
    arguments: dict[str, Any] = {"x-dead-letter-exchange": DEAD}
    if queue_type == "quorum":
        arguments["x-queue-type"] = "quorum"
    return tuple(
        Queue(name, exchange=exchange, routing_key=name, durable=True, queue_arguments=arguments)
        for name in (PING, POST, UPKEEP)
    )


def is_redis(broker_url: str) -> bool:
    """Whether a broker is Redis or Valkey."""
    return broker_url.partition(":")[0].lower() in ("redis", "rediss", "redis+socket", "valkey", "valkeys")

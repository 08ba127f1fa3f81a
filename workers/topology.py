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
# A topic that takes everything: on Redis a fanout is publish and subscribe, which keeps nothing.
dead_letters = Exchange(DEAD, type="topic", durable=True)
leads = Queue(LEADS, durable=True)
leads_dead = Queue(LEADS_DEAD, durable=True)
calls = Queue(CALLS, durable=True)
dead = Queue(DEAD, exchange=dead_letters, routing_key="#", durable=True)


def declare_beside(connection: Any) -> None:
    """Declare what stands beside the workers' own queues and the front door's.

    RabbitMQ drops a dead letter for which there is no exchange, upstream binds to `outcomes` before the first one is
    told, and what is sent to `calls` before it is there is lost.
    """
    with connection.channel() as channel:
        outcomes(channel).declare()
        for queue in (dead, calls):
            queue(channel).declare()


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

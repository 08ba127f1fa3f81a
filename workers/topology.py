"""Exchanges, queues, dead letters: every name on the broker, in one place.

`leads` has no arguments, so that any client can declare it; ours beside it carry dead letters to `dead`. The queues
that a worker of Celery's shall not eat (`leads`, `calls`, their dead letters, `dead`) stay out of `task_queues`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from kombu import Exchange, Queue

LEADS: Final = "leads"
LEADS_DEAD: Final = "leads.dead"
DEAD: Final = "dead"
CALLS: Final = "calls"
CALLS_DEAD: Final = "calls.dead"
PING: Final = "ping"
POST: Final = "post"
UPKEEP: Final = "upkeep"
OUTCOMES: Final = "outcomes"
OURS: Final = frozenset({LEADS, LEADS_DEAD, DEAD, CALLS, CALLS_DEAD, PING, POST, UPKEEP, OUTCOMES})

REASON_HEADER: Final = "x-reason"
QueueType = Literal["classic", "quorum"]

outcomes = Exchange(OUTCOMES, type="topic", durable=True)
# A topic that takes everything: on Redis a fanout is publish and subscribe, which keeps nothing.
dead_letters = Exchange(DEAD, type="topic", durable=True)
leads = Queue(LEADS, durable=True)
leads_dead = Queue(LEADS_DEAD, durable=True)
calls = Queue(CALLS, durable=True)
calls_dead = Queue(CALLS_DEAD, durable=True)
dead = Queue(DEAD, exchange=dead_letters, routing_key="#", durable=True)


@dataclass(frozen=True, slots=True)
class Inbox:
    """A queue of upstream's that the intake reads, and where what cannot be read of it is kept."""

    queue: Queue
    dead: Queue

    @property
    def name(self) -> str:
        """The queue's name."""
        return str(self.queue.name)


LEADS_INBOX: Final = Inbox(leads, leads_dead)
CALLS_INBOX: Final = Inbox(calls, calls_dead)


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


def declare_tasks(channel: Any, queue_type: QueueType) -> None:
    """Declare the queues of Celery's workers, before something is published to them."""
    for queue in task_queues(queue_type):
        queue(channel).declare()


def is_redis(broker_url: str) -> bool:
    """Whether a broker is Redis or Valkey."""
    return broker_url.partition(":")[0].lower() in ("redis", "rediss", "redis+socket", "valkey", "valkeys")

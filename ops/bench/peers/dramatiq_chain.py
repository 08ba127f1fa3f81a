"""dramatiq on RabbitMQ: ping's actor sends to post's, with confirmed deliveries; everything else is dramatiq's default.

The user guide, and Best Practices: small messages, one broker a module. Started as
``dramatiq ops.bench.peers.dramatiq_chain --processes 2 --threads 32``.
"""

from __future__ import annotations

from collections.abc import Iterable

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from ops.bench.peers import job
from ops.bench.peers.job import Lead

broker = RabbitmqBroker(url=job.broker_url(), confirm_delivery=True)
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name="bench.dramatiq")
def ping(lead: Lead) -> None:
    """Ping, and send the post."""
    post.send(lead, job.ping(lead))


@dramatiq.actor(queue_name="bench.dramatiq")
def post(lead: Lead, token: str) -> None:
    """Post."""
    job.post(lead, token)


def enqueue(leads: Iterable[Lead]) -> None:
    """Start each lead on its way."""
    for lead in leads:
        ping.send(lead)

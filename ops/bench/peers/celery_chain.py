"""The plain Celery chain on RabbitMQ: threads, late acknowledgements, confirmed and durable messages, no results.

Calling Tasks, Canvas and Optimizing in Celery's user guide. What differs from the defaults is what the job asks for,
and a pool of connections as large as that of the threads. A worker is started as
``celery -A ops.bench.peers.celery_chain worker --pool threads --concurrency 32``.
"""

from __future__ import annotations

from collections.abc import Iterable

from celery import Celery, chain

from ops.bench.peers import THREADS, job
from ops.bench.peers.job import Lead

app = Celery("celery_chain", broker=job.broker_url())
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    task_default_queue="bench.celery",
    broker_transport_options={"confirm_publish": True},
    broker_pool_limit=THREADS,
    broker_connection_retry_on_startup=True,
    # Else each of our lines would be wrapped in one of Celery's.
    worker_redirect_stdouts=False,
)


@app.task
def ping(lead: Lead) -> tuple[Lead, str]:
    """Ping; the chain hands lead and token on."""
    return lead, job.ping(lead)


@app.task
def post(bid: tuple[Lead, str]) -> None:
    """Post."""
    job.post(*bid)


def enqueue(leads: Iterable[Lead]) -> None:
    """Start each lead on its way."""
    for lead in leads:
        chain(ping.s(lead), post.s()).apply_async()

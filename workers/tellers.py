"""Who publishes what on which broker, and who tells outcomes there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kombu import Connection
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tasks.absence import Absence
from tasks.publishing import ListPublisher, Publisher
from tasks.telling import AmqpTeller, RedisTeller, Teller, declare
from workers.broker import hang_up
from workers.places import for_redis_py, is_store
from workers.transport import connect_to, transport_options

# Once more, at once, mends a connection that was closed while idle; whatever else fails, the sweep tells again.
_ONCE_MORE = Retry(NoBackoff(), 1)


def open_teller(broker_url: str, broker: Absence, concurrency: int) -> Teller:
    """Give the teller for a broker's URL, which knows by `broker` whether that is away. Nothing is connected yet."""
    if is_store(broker_url):
        lists = Redis.from_url(for_redis_py(broker_url), socket_timeout=5, socket_connect_timeout=1, retry=_ONCE_MORE)
        options = transport_options(broker_url, concurrency)
        return RedisTeller(connect_to(broker_url, transport_options=options), lists, broker)

    return AmqpTeller(open_publisher(broker_url, declare), broker)


def open_list_publisher(broker_url: str) -> ListPublisher:
    """Give a publisher on Redis or Valkey. Nothing is connected yet."""
    return ListPublisher(connect_to(broker_url))


def open_publisher(broker_url: str, prepare: Callable[[Any], object]) -> Publisher:
    """Give a publisher on a RabbitMQ; `prepare` is handed the channel of each connection that it opens."""

    def connect() -> Connection:
        options = transport_options(broker_url, 1) | {"confirm_publish": False}
        connection = connect_to(broker_url, transport_options=options)
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
        return connection

    return Publisher(connect, prepare, hang_up)

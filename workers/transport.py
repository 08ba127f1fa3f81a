"""How connections to a broker behave: confirmed publishes on AMQP, one visibility timeout for all on Redis."""

from __future__ import annotations

from typing import Any, Final

from kombu import Connection
from kombu.transport import TRANSPORT_ALIASES

from workers import lists, readahead
from workers.forgiving import Forgiving
from workers.tls import apart
from workers.topology import is_redis

# Longer than the longest countdown (30 s) and the longest call: a message that is being worked on is not repeated.
VISIBILITY_S: Final = 600
CONNECT_S: Final = 3


def register() -> None:
    """Let URLs lead to our transports: kombu has no other way to name one beside a URL."""
    amqp, redis = f"{readahead.__name__}:Transport", f"{lists.__name__}:Transport"
    TRANSPORT_ALIASES.update(amqp=amqp, pyamqp=amqp, redis=redis, rediss=redis)


def connect_to(broker_url: str, **options: Any) -> Connection:
    """Give kombu's connection to a broker, encrypted where its URL says so. Nothing is connected yet.

    `options` are kombu's; without ``transport_options`` among them they are those of `transport_options` for one.
    """
    register()
    url, tls = apart(broker_url)
    options.setdefault("transport_options", transport_options(url, 1))
    return Connection(url, ssl=tls or False, **options)


def transport_options(broker_url: str, concurrency: int) -> dict[str, Any]:
    """Give kombu's transport options for a broker's URL. Redis and Valkey are told more connections than threads."""
    if is_redis(broker_url):
        return {
            "visibility_timeout": VISIBILITY_S,
            "max_connections": concurrency * 2 + 32,
            "socket_connect_timeout": CONNECT_S,
            "socket_keepalive": True,
            "health_check_interval": 10,
        }
    return {"confirm_publish": True, "connect_timeout": CONNECT_S, "frame_handler": Forgiving()}


def impatient(broker_url: str) -> dict[str, Any]:
    """Give the same for who only looks: a broker that hangs is given up after `CONNECT_S`."""
    own = {"socket_timeout": CONNECT_S} if is_redis(broker_url) else {"read_timeout": CONNECT_S}
    return transport_options(broker_url, 1) | own

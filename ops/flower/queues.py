"""RabbitMQ's queues for Flower's page of the broker, where it has no management API to ask."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

from celery import Celery
from flower.views import BaseHandler
from kombu import Queue

_own: Final = BaseHandler.get_broker


class Queues:
    """Takes the place of Flower's client of the management API, which our docker-compose.yml does not run.

    What RabbitMQ tells any client of a queue are the messages that nobody has taken yet, and how many take from it.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app

    async def queues(self, names: Iterable[str]) -> list[dict[str, Any]]:
        """Give those that are there, as the management API does.

        Raises:
            kombu.exceptions.OperationalError, OSError: the broker is away.
        """
        return await asyncio.to_thread(self._look, names)

    def _look(self, names: Iterable[str]) -> list[dict[str, Any]]:
        found = []
        with self._app.connection_for_read() as connection:
            for name in names:
                with suppress(connection.channel_errors):
                    there = Queue(name)(connection.default_channel).queue_declare(passive=True)
                    facts = {"messages_ready": there.message_count, "consumers": there.consumer_count}
                    found.append({"name": name, **facts})
        return found


def broker_of(handler: BaseHandler) -> Any:
    """Give what answers for the broker: Flower's own, and on RabbitMQ without ``FLOWER_BROKER_API`` ours."""
    flower = handler.application
    if flower.transport == "amqp" and not flower.options.broker_api:
        return Queues(handler.capp)
    return _own(handler)

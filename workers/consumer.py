"""Celery's consumer of tasks: keeps what is no task with the dead letters, and tells who watches at its leisure."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import structlog
from celery.worker.consumer import Consumer as CelerysConsumer
from kombu.exceptions import ContentDisallowed, DecodeError

from tasks.away import BROKER_AWAY
from tasks.base import Step
from tasks.core.validation import LEAD_ID
from tasks.tracing import tracer
from workers import readahead

log = structlog.stdlib.get_logger()

# How long who watches (Flower, `celery events`) waits for the events of tasks, and how many may come together.
EVENTS_S: Final = 0.1
EVENTS_TOGETHER: Final = 500


def is_ours(payload: Any) -> bool:
    """Whether a body has the form of our tasks': nothing but leads' ids, and what Celery adds (its protocol 2)."""
    match payload:
        case [list(ids), dict(named), dict() | None]:
            return all(isinstance(one, str) and LEAD_ID.fullmatch(one) for one in (*ids, *named.values()))
    return False


class Consumer(CelerysConsumer):
    """Celery's consumer. It would write a message that it cannot read into the log, whole, and throw it away.

    Here such a message goes to `dead`, whole, and its content stays out of the log. With the broker away it is not
    acknowledged, and comes again.
    """

    def update_strategies(self) -> None:
        """Have steps run the short way (`tasks.tracing`)."""
        super().update_strategies()
        for task in self.app.tasks.values():
            if isinstance(task, Step):
                task.__trace__ = tracer(task, self.hostname)

    def create_task_handler(self, *arguments: Any, **options: Any) -> Callable[[Any], Any]:
        """Give what takes a message. One with what Celery does not foresee (headers of a wrong type) is no task."""
        take = super().create_task_handler(*arguments, **options)

        def on_task_received(message: Any) -> Any:
            try:
                return take(message) if is_ours(message.payload) else self._bury(message, "no task's message")
            except (DecodeError, ContentDisallowed) as fault:
                return self.on_decode_error(message, fault)
            except BROKER_AWAY:
                raise
            except Exception as fault:  # noqa: BLE001 - a stranger's message must not end the worker
                return self._bury(message, f"no task's message: {type(fault).__name__}")

        return on_task_received

    def connection_for_write(self, *arguments: Any, **options: Any) -> Any:
        """Connect for events, which are all that goes out by it. A worker waits for nobody to confirm them."""
        connection = self.app.connection_for_write(*arguments, **options)
        connection.transport_options = {**connection.transport_options, "confirm_publish": False}
        return self.ensure_connected(connection)

    def call_soon_ack(self, acknowledge: Any, *arguments: Any, **options: Any) -> Any:
        """Acknowledge in the thread that asks, where its connection lets any thread write.

        Celery would wake the loop for it: two calls to the system and a turn of the loop for a few bytes.
        """
        message = getattr(acknowledge, "__self__", None)
        connection = getattr(getattr(message, "channel", None), "connection", None)
        if not isinstance(connection, readahead.Connection) or not connection.takes_turns:
            return super().call_soon_ack(acknowledge, *arguments, **options)
        # A connection that breaks, of which Celery tells, or a channel that is just being given up and has no number
        # left: the loop finds it, too, and the message comes again.
        with suppress(OSError, struct.error):
            acknowledge(*arguments, **options)
        return None

    def on_send_event_buffered(self) -> None:
        """Leave an event with those that wait. Celery would publish at each turn of its loop, mostly one alone."""
        self.event_dispatcher.buffer_limit = EVENTS_TOGETHER

    def register_with_event_loop(self, hub: Any) -> None:
        """Publish what waits, a few times a second."""
        super().register_with_event_loop(hub)
        hub.call_repeatedly(EVENTS_S, self._flush_events)

    def add_task_queue(self, queue: str, *arguments: Any, **options: Any) -> None:
        """Take from one more queue of tasks, as Flower's button and `celery control add_consumer` ask.

        Of any other, such as `leads`, a worker would make dead letters.
        """
        if queue in self.app.amqp.queues:
            super().add_task_queue(queue, *arguments, **options)
        else:
            log.warning("queue.refused", queue=queue[:50], reason="not a queue of tasks")

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Let a broken connection go, whatever comes of closing it.

        On Redis kombu gives back what runs by a client that has just been taken away, and its AttributeError would end
        the worker, calls and all. What is not given back, the sweep sends on its way again.
        """
        with suppress(AttributeError):
            super().on_connection_error_after_connected(exc)

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Bury what cannot be decoded, or may not be (pickle)."""
        self._bury(message, f"cannot be decoded: {type(exc).__name__}")

    def on_unknown_message(self, _body: Any, message: Any) -> None:
        """Bury what names no task."""
        self._bury(message, "no task's message")

    def on_unknown_task(self, _body: Any, message: Any, _exc: Exception) -> None:
        """Bury what is for a task that is not here."""
        self._bury(message, "no task of this name")

    def on_invalid_task(self, _body: Any, message: Any, exc: Exception) -> None:
        """Bury what breaks the protocol of tasks."""
        self._bury(message, f"no task's message: {type(exc).__name__}")

    def _bury(self, message: Any, reason: str) -> None:
        if message.acknowledged:
            return
        queue = (message.delivery_info or {}).get("routing_key")
        log.error("alarm", reason="a message is no task of ours", queue=str(queue)[:50], cause=reason)
        try:
            self.app.bury_message(message, reason)
        except BROKER_AWAY:
            raise
        except Exception:  # noqa: BLE001 - it must not come again for ever; RabbitMQ itself puts what is rejected into `dead`
            message.reject()
        else:
            message.ack()

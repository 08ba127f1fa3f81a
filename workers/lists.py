"""kombu's transport over Redis and Valkey, which outlives what strangers push onto the workers' lists, and keeps order.

kombu pops an element and then reads it: one that is no message of kombu's raises in the loop that all workers' threads
live by, ends the worker, and is gone. Here it is handed on as a message that holds it, whole: the consumer keeps what
is no task with the dead letters.

What a reader gives back unacknowledged lies where it lay, as on RabbitMQ; kombu puts it there in the wrong order.
"""

from __future__ import annotations

import base64
import uuid
from queue import Empty
from typing import Any

from kombu.transport import redis
from kombu.utils.json import loads


class QoS(redis.QoS):
    """kombu's book of what is not acknowledged."""

    def restore_unacked(self, client: Any = None) -> None:
        """Give all of it back: each goes before the others of its list, so the one that was taken last goes first."""
        with self.channel.conn_or_acquire(client) as one:
            for tag in reversed(self._delivered):
                self.restore_by_tag(tag, client=one)
        self._delivered.clear()


class Channel(redis.Channel):
    """kombu's channel, whose readers take any element, and give back in order."""

    QoS = QoS

    def _brpop_read(self, **options: Any) -> bool:
        # As kombu's own, but for how an element is read.
        try:
            try:
                found = self.client.parse_response(self.client.connection, "BRPOP", **options)
            except self.connection_errors:
                self.client.connection.disconnect()
                raise
            if not found:
                raise Empty
            queue = found[0].decode().rsplit(self.sep, 1)[0]
            self._queue_cycle.rotate(queue)
            self.connection._deliver(self._read(found[1], queue), queue)  # noqa: SLF001 - kombu's own way
            return True
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()

    def _get(self, queue: str) -> Any:
        with self.conn_or_acquire() as client:
            for priority in self.priority_steps:
                element = client.rpop(self._q_for_pri(queue, priority))
                if element:
                    self._maybe_update_queues_expire(client, queue)
                    return self._read(element, queue)
            self._maybe_update_queues_expire(client, queue)
            raise Empty

    def _read(self, element: bytes, queue: str) -> dict[str, Any]:
        """Give the message in an element; one that is none becomes the body of a message."""
        try:
            message = loads(element.decode())
            read = self.Message(message, channel=self)
            if not isinstance(read.delivery_tag, str) or not {"exchange", "routing_key"} <= read.delivery_info.keys():
                raise ValueError("nothing to acknowledge it by")
            return message  # type: ignore[no-any-return]  # it was read as one
        except Exception:  # noqa: BLE001 - whatever a stranger can think of
            return _around(element, queue)


def _around(element: bytes, queue: str) -> dict[str, Any]:
    return {
        "body": base64.b64encode(element).decode(),
        "content-type": "application/octet-stream",
        "content-encoding": "binary",
        "headers": {},
        "properties": {
            "body_encoding": "base64",
            "delivery_mode": 2,
            "delivery_tag": str(uuid.uuid4()),
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": 0,
        },
    }


class Transport(redis.Transport):
    """kombu's transport with these channels."""

    Channel = Channel

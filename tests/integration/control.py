"""An operator with Celery's own means: remote control, and a look into queues."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery
from kombu import Connection, Queue

from tests.integration.installation import wait_for

REPLY_S = 5.0
WORKERS = 2  # in an installation of its own: when as many have answered, all have


class Operator:
    """Whoever may reach the broker sees what this sees."""

    def __init__(self, broker_url: str) -> None:
        self._url = broker_url
        self._app = Celery("operator", broker=broker_url)

    def inspect(self, what: str, *arguments: Any) -> dict[str, Any]:
        """Ask all workers, as `celery inspect` does."""
        return getattr(self._app.control.inspect(timeout=REPLY_S, limit=WORKERS), what)(*arguments) or {}

    def slow_posts(self, rate: str) -> bool:
        """Limit the rate of posts, as `celery control rate_limit` does. Whether all workers have heard it.

        Under any limit a worker leaves the post to whoever takes its message, even where it has pinged the lead itself.
        """
        return len(self._app.control.rate_limit("post", rate, reply=True, timeout=REPLY_S, limit=WORKERS)) == WORKERS

    @contextmanager
    def nobody_takes(self, queue: str) -> Iterator[None]:
        """Let no worker take from a queue meanwhile, and none do by itself what waits there."""
        if queue == "post":
            assert self.slow_posts("1000/s")
        # Only the worker that had the queue may have it back: a post never waits behind pings.
        node = next(name for name in self.inspect("ping") if name.startswith(queue))
        assert any(_ok(self._app.control.cancel_consumer(queue, reply=True, timeout=REPLY_S, limit=WORKERS)))
        try:
            yield
        finally:
            assert any(_ok(self._app.control.add_consumer(queue, destination=[node], reply=True, timeout=REPLY_S)))
            if queue == "post":
                assert self.slow_posts("0")

    def waiting(self, queue: str) -> list[str]:
        """Every message that waits in a queue, with headers and properties, as text. They stay."""
        with Connection(self._url) as connection:
            bound = Queue(queue)(connection.default_channel)
            seen = []
            while (message := bound.get(accept=["json"])) is not None:
                seen.append(message)
            for message in seen:
                message.requeue()
            return [json.dumps([m.headers, m.properties, m.payload], default=str) for m in seen]

    def wait_until_there_waits(self, queue: str, number: int) -> list[str]:
        """Wait for so many messages in a queue."""

        def enough() -> list[str] | None:
            found = self.waiting(queue)
            return found if len(found) >= number else None

        return wait_for(enough, 20)


def _ok(replies: list[dict[str, Any]]) -> list[bool]:
    return ["ok" in answer for reply in replies for answer in reply.values()]

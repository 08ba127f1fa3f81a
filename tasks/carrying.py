"""The link from a ping to its post, carried on by the worker that pinged: no message, no wait in a queue.

Celery publishes the next link of a chain when a task has succeeded. Where `PINGPOST_POST_BY` says so, the thread that
ran the ping takes that link instead and runs it as what it is: a task with its own id, its own events, its own place
among those that a worker is at, and its own retries, which the broker carries. The ping's message is acknowledged when
the post is over: should the worker die, the broker repeats it, and the ledger knows how far the lead had come.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from celery.worker import state as worker
from kombu import Queue

from tasks.results import Handover

# Who publishes with this for `Hand.by` gets its message back instead.
ANYBODY: Final = "anybody"


@dataclass(frozen=True, slots=True)
class Link:
    """A task that was to be published: what it is called by, and Celery's options for it."""

    task: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    options: Mapping[str, Any]

    @classmethod
    def of(cls, task: Any, args: Any, kwargs: Any, options: Mapping[str, Any]) -> Link:
        """Give a link by what `apply_async` is called with."""
        named = options if "task_id" in options else {"task_id": str(uuid.uuid4()), **options}
        return cls(task, tuple(args or ()), kwargs or {}, named)

    @classmethod
    def after(cls, running: Any, tasks: Mapping[str, Any]) -> Link | None:
        """Give the link that follows a running task (its request) in its chain, as Celery would publish it.

        None: there is none, or it is not as `tasks.sell` has it, and Celery sees to it.
        """
        match running.chain:
            case [
                *later,
                {
                    "task": str(name),
                    "args": [*args],
                    "kwargs": dict(kwargs),
                    "options": {"task_id": str()} as options,
                    "immutable": True,
                },
            ] if name in tasks:
                own = {"chain": later, "parent_id": running.id, "root_id": running.root_id or running.id}
                return cls(tasks[name], tuple(args), kwargs, {**options, **own})
        return None

    def message(self) -> Letter:
        """Give what the broker would have handed out."""
        form, own = _form(self.task), self.options["task_id"]
        headers = {
            **form.headers,
            "id": own,
            "root_id": self.options.get("root_id") or own,
            "parent_id": self.options.get("parent_id"),
            "argsrepr": repr(self.args),  # as Celery's own, which looks out for more than a lead's id
            "kwargsrepr": repr(self.kwargs),
        }
        body = (self.args, self.kwargs, {**form.body[2], "chain": self.options.get("chain")})
        return Letter(headers, body, {**form.properties, "correlation_id": own}, form.delivery_info)


@dataclass(frozen=True, slots=True)
class Letter:
    """What a request reads of a message. Nobody waits for its acknowledgement."""

    headers: dict[str, Any]
    body: tuple[Any, ...]
    properties: dict[str, Any]
    delivery_info: dict[str, Any]


@cache
def _form(task: Any) -> Letter:
    """Give Celery's message for nobody: for a lead, only ids, arguments and what follows differ."""
    made = task.app.amqp.create_task_message("", task.name, (), {}, ignore_result=task.ignore_result)
    queue: Queue = task.app.amqp.queues[task.app.conf.task_routes[task.name]["queue"]]
    place = {"exchange": queue.exchange.name, "routing_key": queue.routing_key, "redelivered": False}
    return Letter(made.headers, made.body, made.properties, place)


def is_leaving() -> bool:
    """Whether this worker has been asked to end."""
    return worker.should_stop is not None or worker.should_terminate is not None


class Hand(threading.local):
    """What a worker's thread carries from one task to the next.

    `by`: the task that runs and whose link may be taken; None: nobody's. `over`: the lead as that task left it. `tell`:
    publishes what who watches has not been told yet.
    """

    by: str | None
    link: Link | None
    over: Handover | None
    tell: Callable[[], object]

    def __init__(self) -> None:
        self.open(None)

    def takes(self, link: Link) -> bool:
        """Take a task that is being published, if it is the next link and can be run here and now.

        A worker that is leaving begins nothing, and one whose posts an operator has slowed down (`celery control
        rate_limit`) leaves them to its queue.
        """
        waits = link.options.get("countdown") or link.options.get("eta")
        if self.by is None or self.link is not None or link.task.name == self.by or waits:
            return False
        if self.by != ANYBODY and (link.task.rate_limit or is_leaving()):
            return False
        self.link = link
        return True

    def open(self, by: str | None, *, goes_on: bool = False, tell: Callable[[], object] = lambda: None) -> None:
        """Begin a task, whose link may be taken if `by` names it; `goes_on`: with what the last one handed over."""
        self.by, self.link, self.tell = by, None, tell
        if not goes_on:
            self.over = None

    def let_go(self) -> Link | None:
        """Give what was taken; from here on, nothing is."""
        link, self.link, self.by = self.link, None, None
        return link

    def taken_over(self) -> Handover | None:
        """Give the lead as the task before this one left it, once."""
        over, self.over = self.over, None
        return over


hand = Hand()

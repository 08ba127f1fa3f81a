"""A task as a worker runs it: what it tells of it to who watches, and how it goes on with the next link itself."""

from __future__ import annotations

from typing import Any

from billiard.einfo import ExceptionWithTraceback
from celery.concurrency.base import apply_target
from celery.exceptions import Retry
from celery.worker.request import Request as CelerysRequest
from celery.worker.state import task_reserved

from tasks.base import cause_of
from tasks.carrying import Letter, Link, hand
from tasks.core.protocol import Call


class Request(CelerysRequest):
    """Celery's request of a task. Of a fault it tells what broke and where, as the log does.

    Celery's own would tell the error's text and a traceback that ends with it, and either may hold a caller.
    """

    _body: Any
    _content_type: str | None
    _cause: str | None = None
    _link: Link | None = None
    _succeed = CelerysRequest.on_success
    _hand_over = CelerysRequest.execute_using_pool

    def __init_subclass__(cls, **options: Any) -> None:
        """Keep our methods: Celery makes a class of this one for each task, with some of its own."""
        super().__init_subclass__(**options)
        if "on_success" in vars(cls):
            cls._succeed, cls._hand_over = cls.on_success, cls.execute_using_pool
            del cls.on_success, cls.execute_using_pool

    def execute_using_pool(self, pool: Any, **options: Any) -> Any:
        """Hand the task to a pool. Threads of this process need not decode its body, which has been read, once more."""
        if self._content_type and pool.body_can_be_buffer:
            self._body, self._content_type = self._payload, None
        return self._hand_over(pool, **options)

    def on_accepted(self, *arguments: Any) -> None:
        """Begin, in the thread that runs the task. A pool of processes comes here elsewhere, and carries nothing."""
        carries = self.app.posts_at_once and self.name == Call.PING
        by = self.name if carries else None
        tell = self.eventer.flush if self.eventer else lambda: None
        hand.open(by, goes_on=isinstance(self.message, Letter), tell=tell)
        super().on_accepted(*arguments)

    def on_success(self, outcome: Any, **options: Any) -> None:
        """End a task that went well, and go on with the link that its thread has taken over from it."""
        self._link = hand.let_go()
        self._succeed(outcome, **options)
        if self._link is not None:
            try:
                self._follow(self._link)
            finally:
                # What the post did not take over is written, and then the message is acknowledged.
                try:
                    self.task.settle()
                finally:
                    super().acknowledge()

    def acknowledge(self) -> None:
        """Acknowledge the message; while another task is run by it, it is still needed."""
        if self._link is None:
            super().acknowledge()

    def _follow(self, link: Link) -> None:
        """Run a link in this thread, as Celery does with one that comes in a message."""
        letter = link.message()
        request = Request(
            letter,
            app=self.app,
            hostname=self.hostname,
            eventer=self.eventer,
            task=link.task,
            connection_errors=self.connection_errors,
            body=letter.body,
            headers=letter.headers,
            decoded=True,
        )
        request.send_event(
            "task-received",
            name=request.name,
            args=request.argsrepr,
            kwargs=request.kwargsrepr,
            root_id=request.root_id,
            parent_id=request.parent_id,
            retries=0,
            eta=None,
            expires=None,
        )
        if not request.revoked():
            task_reserved(request)
            request.execute_using_pool(_HERE)

    def on_failure(self, exc_info: Any, *arguments: Any, **options: Any) -> None:
        """Keep the cause for the event. Celery comes here with a step that is to be taken again, too: no fault."""
        thrown = exc_info.exception
        if isinstance(thrown, ExceptionWithTraceback):
            thrown = thrown.exc
        self._cause = None if isinstance(thrown, Retry) else cause_of(thrown)
        super().on_failure(exc_info, *arguments, **options)

    def send_event(self, kind: str, /, **facts: Any) -> None:
        """Send an event, without an error's own text.

        That a task comes again is told at once: whoever watches would hear of it after another worker's success. So is
        what was before it (`Step.follow`), since another worker has the message a moment after it is published.
        """
        if "traceback" in facts:
            facts |= {"exception": self._cause, "traceback": None}
        super().send_event(kind, **facts)
        if kind == "task-retried" and self.eventer:
            self.eventer.flush()


class _ThisThread:
    """What stands in for a pool: it runs a task in the thread that asks."""

    body_can_be_buffer = True

    def apply_async(self, target: Any, args: Any, **options: Any) -> None:
        apply_target(target, args, callback=options["callback"], accept_callback=options["accept_callback"])


_HERE = _ThisThread()

"""What all tasks share: where their services are, how a step's result becomes Celery's, what a fault of ours does."""

from __future__ import annotations

import traceback
from contextlib import suppress
from typing import Any, Final, cast

import structlog
from celery import Task

from tasks.away import BROKER_AWAY
from tasks.carrying import Link, hand, is_leaving
from tasks.core.outcome import Stage, Status
from tasks.core.protocol import Call
from tasks.core.states import State
from tasks.ledger import LedgerError
from tasks.results import GoOn, Later, Stop, words
from tasks.services import Services
from tasks.steps import end, settle, take

log = structlog.stdlib.get_logger()

CAUSE_FRAMES: Final = 6


class Step(Task):
    """A task that takes one step of a lead. Its only argument is the lead's id, its result what the step brought."""

    abstract = True
    Request = "tasks.request:Request"
    ignore_result = True
    acks_late = True
    reject_on_worker_lost = True
    max_retries = None
    typing = True

    @property
    def services(self) -> Services:
        """The process's services, built at first use."""
        return cast("Services", self.app.services)

    def follow(self, call: Call, lead_id: str) -> str | None:
        """Take the step; wait, go on along the chain, or end it here. Gives what Flower shows as its result."""
        redelivered = bool((self.request.delivery_info or {}).get("redelivered"))
        carries = hand.by is not None and not is_leaving()
        match take(self.services, call, lead_id, redelivered=redelivered, carries=carries, over=hand.taken_over()):
            case Later(seconds):
                hand.tell()  # who takes the message up tells of it, and what came before must not come behind that
                raise self.retry(countdown=self.app.countdown(seconds), max_retries=None)
            case Stop() as following:
                self.end_chain()
            case GoOn() as following:
                hand.over = following.over if carries else None
                self.go_on()
        return words(following)

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Publish this task, unless the thread that asks for it goes on with it itself (`tasks.carrying`)."""
        link = Link.of(self, args, kwargs, options)
        if not hand.takes(link):
            self.settle()
            if not self.app.publish(link):
                return super().apply_async(link.args, kwargs, **options)
        return self.AsyncResult(link.options["task_id"])

    def go_on(self) -> None:
        """Take over the next link, if this thread goes on with it: else Celery publishes it when the task has ended."""
        running = self.request
        if hand.by is not None and (link := Link.after(running, self.app.tasks)) and hand.takes(link):
            running.chain = None

    def settle(self) -> None:
        """Write what this thread was to hand over, and does not."""
        if (over := hand.taken_over()) is not None:
            settle(self.services, over)

    def end_chain(self) -> None:
        """Let nothing follow: the next link is taken off, and the task succeeds."""
        self.request.chain = None

    def on_failure(self, exc: BaseException, _task_id: str, args: Any, kwargs: Any, _einfo: Any) -> None:
        """End the lead of a task that a fault of ours broke, and keep the cause with the dead letters.

        Celery also comes here when the next link could not be published. That is no fault of ours and no end: the
        ledger knows where the lead stands, and the sweep goes on from there.
        """
        lead_id = str(args[0]) if args else str(kwargs.get("lead_id", ""))
        if isinstance(exc, BROKER_AWAY):
            log.warning("chain.unsent", lead_id=lead_id, task=self.name, reason=type(exc).__name__)
            return
        cause = cause_of(exc)
        log.error("alarm", lead_id=lead_id, task=self.name, reason="a fault of ours", cause=cause)
        try:
            row = self.services.ledger.lead(lead_id)
            # A post that is under way may have sold: the sweep makes it `unknown`.
            if row is not None and not row.state.final and row.state is not State.POSTING:
                stage = Stage.POST if row.state is State.BID else Stage.PING
                end(self.services, row, Status.FAILED, stage, "a fault of ours; see the dead letters")
        except LedgerError:
            log.warning("lead.unended", lead_id=lead_id, task=self.name, reason="the ledger is away")
        # Raised from here, it would leave the message neither acknowledged nor rejected for ever.
        with suppress(*BROKER_AWAY):
            self.app.bury(self.name, lead_id, cause)


class Upkeep(Task):
    """A task of beat's: safe to run twice, and late.

    Who watches is not told of it: a tick a second, each with a row of its own, would leave no room for sales.
    """

    abstract = True
    ignore_result = True
    send_events = False

    def on_failure(self, exc: BaseException, *_: Any) -> None:
        """Raise the alarm over a fault of ours. What is away is said elsewhere, and the next tick tries again."""
        if not isinstance(exc, (LedgerError, *BROKER_AWAY)):
            log.error("alarm", task=self.name, reason="a fault of ours", cause=cause_of(exc))


def cause_of(exc: BaseException) -> str:
    """Say what broke and where. Never the error's own text: it may hold what the log must not."""
    frames = traceback.extract_tb(exc.__traceback__)[-CAUSE_FRAMES:]
    path = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames))
    return f"{type(exc).__name__} in {path}"

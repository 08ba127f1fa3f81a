"""What a worker tells of a task to who watches, and when."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from celery.worker.request import Request as CelerysRequest

from tasks.base import Step
from tasks.carrying import hand
from tasks.core.protocol import Call
from tasks.request import Request
from tasks.results import Later


class Watched:
    """What stands in for Celery's dispatcher of events: it keeps the order of all that is asked of it."""

    enabled = True

    def __init__(self) -> None:
        self.asked: list[str] = []

    def send(self, kind: str, **_: Any) -> None:
        self.asked.append(kind)

    def flush(self) -> None:
        self.asked.append("flush")


def request(eventer: Watched | None) -> Request:
    made = Request.__new__(Request)
    made._eventer, made._task, made.id = eventer, SimpleNamespace(send_events=True), "L1"
    return made


@pytest.mark.parametrize(("kind", "told"), [("task-retried", ["flush"]), ("task-succeeded", []), ("task-started", [])])
def test_that_a_task_comes_again_is_told_at_once(kind: str, told: list[str]):
    """Another worker may take it up within 60 ms, and Flower would show for ever that it waits."""
    watched = Watched()
    request(watched).send_event(kind, reason="the buyer is being tried")
    assert watched.asked == [kind, *told]


def test_where_nobody_watches_nothing_is_told():
    request(None).send_event("task-retried")


def test_what_was_before_is_told_before_another_worker_can_have_the_message(monkeypatch: pytest.MonkeyPatch):
    """It tells at once that it has it, and Flower would show a repeated task without its repetition."""
    watched = Watched()
    running = request(watched)
    running._app, running.name, running._message = SimpleNamespace(posts_at_once=True), "post", None
    monkeypatch.setattr(CelerysRequest, "on_accepted", lambda self, *_: self.send_event("task-started"))
    running.on_accepted(1, 0.0)

    class Published(Exception):
        pass

    def retry(**_: Any) -> Exception:
        watched.asked.append("published")
        return Published()

    monkeypatch.setattr("tasks.base.take", lambda *_, **__: Later(0.06))
    step = SimpleNamespace(
        request=SimpleNamespace(delivery_info={}),
        services=None,
        app=SimpleNamespace(countdown=lambda seconds: seconds),
        retry=retry,
    )
    try:
        with pytest.raises(Published):
            Step.follow(step, Call.POST, "L1")
    finally:
        hand.open(None)
    assert watched.asked == ["task-started", "flush", "published"]

"""What a worker tells of a task to who watches, and when."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tasks.request import Request


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

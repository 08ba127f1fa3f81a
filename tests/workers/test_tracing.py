"""Running a task the short way brings what Celery's tracer brings, and leaves to Celery what is its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery, Task, signals
from celery.app.trace import build_tracer
from celery.exceptions import Ignore, Reject, Retry
from celery.worker.request import create_request_cls

from tasks.request import Request
from tasks.tracing import tracer

# As a worker has it: what came in the message, and what Celery adds.
REQUEST = {
    "id": "t-1",
    "task": "step",
    "lang": "py",
    "origin": "gen1@x",
    "root_id": "t-0",
    "parent_id": "t-0",
    "retries": 2,
    "timelimit": [3, 2],
    "argsrepr": "('s-1',)",
    "kwargsrepr": "{}",
    "ignore_result": True,
    "delivery_info": {"redelivered": True},
    "hostname": "w@x",
    "chain": None,
}
LINK = {"task": "step", "args": ["s-1"], "kwargs": {}, "options": {"task_id": "t-2"}, "immutable": True}
Does = Callable[[Task, str], Any]
Run = Callable[..., Any]


class Step(Task):
    """A task as ours are; what it does is put into it."""

    abstract = True
    ignore_result = True
    does: Does
    failed: list[type]
    published: list[Any]

    def run(self, lead_id: str) -> Any:
        return self.does(lead_id)

    def on_failure(self, exc: BaseException, *_: Any) -> None:
        self.failed.append(type(exc))

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> None:
        self.published.append((list(args), kwargs, options))


@pytest.fixture(params=["short", "celery"])
def task(request: pytest.FixtureRequest) -> Iterator[Step]:
    """A task whose attribute `trace` runs it."""
    app = Celery("here", set_as_current=False, broker="memory://")
    made: Step = app.register_task(type("OneStep", (Step,), {"name": "step", "failed": [], "published": []})())
    made.bind(app)
    short = request.param == "short"
    made.trace = tracer(made, "w@x") if short else build_tracer("step", made, app.loader, "w@x", app=app)
    yield made
    app.close()


def came_of(task: Step, does: Does, **told: Any) -> Any:
    """Run it: its result, the state that Celery gives it, and how the result reads."""
    type(task).does = does
    came = task.trace("t-1", ("s-1",), {}, {**REQUEST, **told})
    assert task.app.current_worker_task is None
    assert task.request_stack.top is None
    return came.retval, came.info and came.info.state, came.retstr


@pytest.mark.parametrize(("result", "reads"), [("sold 12.50", "'sold 12.50'"), (None, "None")])
def test_a_task_that_succeeds_gives_its_result_and_how_it_reads(task: Step, result: Any, reads: str) -> None:
    assert came_of(task, lambda *_: result) == (result, None, reads)


def test_a_task_sees_its_request(task: Step) -> None:
    seen: dict[str, Any] = {}
    names = ("id", "root_id", "parent_id", "retries", "args", "kwargs", "time_limit", "soft_time_limit", "headers")

    def look(task: Step, lead_id: str) -> None:
        assert task.app.current_worker_task is task
        seen.update({name: getattr(task.request, name) for name in (*names, "called_directly", "delivery_info")})
        seen["lead_id"] = lead_id

    came_of(task, look, **{"x-stranger": "1"})
    assert seen == {
        "id": "t-1",
        "root_id": "t-0",
        "parent_id": "t-0",
        "retries": 2,
        "args": ("s-1",),
        "kwargs": {},
        "time_limit": 3,
        "soft_time_limit": 2,
        "headers": {"x-stranger": "1"},
        "called_directly": False,
        "delivery_info": {"redelivered": True},
        "lead_id": "s-1",
    }


@pytest.mark.parametrize(("told", "headers"), [({}, None), ({"headers": {"own": "1"}}, {"own": "1"})])
def test_headers_are_those_of_the_message(task: Step, told: dict[str, Any], headers: Any) -> None:
    seen: list[Any] = []
    came_of(task, lambda task, _: seen.append(task.request.headers), **told)
    assert seen == [headers]


def test_a_chain_goes_on(task: Step) -> None:
    assert came_of(task, lambda *_: "bid", chain=["later", LINK]) == ("bid", None, "'bid'")
    [(args, kwargs, options)] = task.published
    assert (args, kwargs) == (["s-1"], {})
    assert options == {"task_id": "t-2", "chain": ["later"], "parent_id": "t-1", "root_id": "t-0"}


def test_a_chain_that_its_task_ends_is_over(task: Step) -> None:
    def end(task: Step, _lead_id: str) -> str:
        task.request.chain = None
        return "rejected"

    assert came_of(task, end, chain=[LINK]) == ("rejected", None, "'rejected'")
    assert task.published == []


@pytest.mark.parametrize(
    ("fault", "state", "failed"),
    [
        (Retry("again"), "RETRY", []),
        (Ignore(), "IGNORED", []),
        (Reject("no", requeue=True), "REJECTED", []),
        (KeyError("x"), "FAILURE", [KeyError]),
        (MemoryError(), "FAILURE", [MemoryError]),
    ],
)
def test_what_a_task_raises_is_celery_s_to_see_to(task: Step, fault: Exception, state: str, failed: list[type]) -> None:
    def raising(*_: Any) -> None:
        raise fault

    assert came_of(task, raising, chain=[LINK])[1] == state
    assert (task.failed, task.published) == (failed, [])
    assert came_of(task, lambda *_: "well") == ("well", None, "'well'"), "nothing of it is left"


@pytest.mark.parametrize("signal", [signals.task_prerun, signals.task_postrun, signals.task_success])
def test_who_listens_to_tasks_hears_of_them(task: Step, signal: Any) -> None:
    heard: list[str] = []

    def hear(**told: Any) -> None:
        heard.append(told["sender"].name)

    signal.connect(hear)
    try:
        assert came_of(task, lambda *_: "well") == ("well", None, "'well'")
    finally:
        signal.disconnect(hear)
    assert heard == ["step"]


def test_what_ends_the_process_is_not_kept(task: Step) -> None:
    def leaving(*_: Any) -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        came_of(task, leaving)
    assert task.request_stack.top is None


def test_threads_are_handed_what_was_read_and_processes_what_came() -> None:
    """By the class that Celery makes of ours for each task, which has methods of its own."""
    handed: list[Any] = []

    def apply_async(_target: Any, args: Any, **_: Any) -> None:
        handed.append((args[3], args[4]))

    app = Celery("here", set_as_current=False, broker="memory://")
    task = app.register_task(type("OneStep", (Step,), {"name": "step"})())
    told = {"id": "t-1", "task": "step", "root_id": "t-1", "parent_id": None}
    body = b'[["s-1"], {}, {"chain": null}]'
    message = SimpleNamespace(
        body=body,
        payload=[["s-1"], {}, {"chain": None}],
        content_type="application/json",
        content_encoding="utf-8",
        headers=told,
        properties={},
        delivery_info={},
    )
    for threads in (True, False):
        pool = SimpleNamespace(apply_async=apply_async, body_can_be_buffer=threads)
        kind = create_request_cls(Request, task, pool, "w@x", None, app=app)
        kind(message, app=app, task=task, hostname="w@x", headers=told).execute_using_pool(pool)
    assert handed == [(message.payload, None), (body, "application/json")]
    app.close()

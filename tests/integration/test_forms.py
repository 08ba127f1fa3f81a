"""Who goes on from a bid: the worker that pinged, or whoever takes a message. Who watches cannot tell which."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from celery import Celery

from ops.sandbox import Sandbox
from ops.servers.rabbitmq import start_rabbitmq
from tests.integration.control import Operator
from tests.integration.installation import Installation, installed, lead, wait_for
from workers.producer import Producer

WITHIN_S = 20
RETRIED, SLOW, REFUSED = "10001", "20002", "30003"
SCENARIO: dict[str, Any] = {
    "rules": [
        {"call": "post", "zipcode": RETRIED, "code": 1100, "first": 1},
        {"call": "post", "zipcode": SLOW, "latency_ms": 3000},
        {"call": "ping", "zipcode": REFUSED, "code": 5000},
    ]
}


@dataclass(frozen=True)
class Office:
    """One installation, an operator, and all that workers tell who watches."""

    house: Installation
    producer: Producer
    heard: list[dict[str, Any]]

    def sell(self, lead_id: str, **fields: Any) -> dict[str, Any]:
        return self.producer.submit(lead(lead_id, **fields)).result(timeout=WITHIN_S)

    def told_of(self, lead_id: str, ends: int) -> list[dict[str, Any]]:
        """The events of a lead's tasks, once so many have ended."""
        mine: list[dict[str, Any]] = []

        def all_of_them() -> bool:
            ids = {event["uuid"] for event in self.heard if lead_id in str(event.get("args"))}
            mine[:] = [event for event in self.heard if event.get("uuid") in ids]
            return sum(event["type"] == "task-succeeded" for event in mine) >= ends

        wait_for(all_of_them, WITHIN_S)
        # Several workers tell, each in its own message: what counts is when it happened.
        return sorted(mine, key=lambda event: event["timestamp"])


@pytest.fixture(
    scope="module",
    params=[(form, broker) for form in ("ping", "broker") for broker in ("embedded", "rabbitmq")],
    ids=lambda param: f"post by {param[0]} on {param[1]}",
)
def office(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    form, broker = request.param
    environment = {"PINGPOST_POST_BY": form}
    with ExitStack() as stack:
        if broker == "rabbitmq":
            environment["PINGPOST_BROKER_URL"], stop = start_rabbitmq()
            stack.callback(stop)
        buyer = stack.enter_context(Sandbox(SCENARIO))
        house = stack.enter_context(installed(tmp_path_factory.mktemp(form), buyer, environment, "--no-flower"))
        heard = stack.enter_context(_watching(house.broker_url))
        yield Office(house, stack.enter_context(Producer(house.broker_url, patience_s=60)), heard)


@contextmanager
def _watching(url: str) -> Iterator[list[dict[str, Any]]]:
    """Hear workers as Flower does: it turns their events on, and listens."""
    app, heard, ready = Celery("watcher", broker=url), [], threading.Event()
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": heard.append})
        receiver.on_consume_ready = lambda *_, **__: ready.set()
        ear = threading.Thread(target=lambda: receiver.capture(limit=None, timeout=None, wakeup=False), daemon=True)
        ear.start()
        assert ready.wait(WITHIN_S)
        assert len(app.control.enable_events(reply=True, limit=2, timeout=WITHIN_S)) == 2
        yield heard
        receiver.should_stop = True
        ear.join(WITHIN_S)


def plain(events: list[dict[str, Any]], name: str) -> list[str]:
    """What is told of one of a lead's tasks, in its order."""
    mine = {event["uuid"] for event in events if event.get("name") == name}
    assert len(mine) == 1, f"one {name}, by whichever hands"
    return [event["type"].removeprefix("task-") for event in events if event["uuid"] in mine]


def test_a_sale_is_two_tasks_each_with_its_own_events(office: Office):
    assert office.sell("s-1")["status"] == "sold"
    events = office.told_of("s-1", 2)
    assert plain(events, "ping") == plain(events, "post") == ["received", "started", "succeeded"]
    ping, post = (next(event for event in events if event.get("name") == name) for name in ("ping", "post"))
    assert post["parent_id"] == ping["uuid"] == post["root_id"] == ping["root_id"]
    assert post["args"] == ping["args"] == "('s-1',)"
    results = {event["uuid"]: event["result"] for event in events if event["type"] == "task-succeeded"}
    assert results[ping["uuid"]].startswith("'bid ")
    assert results[post["uuid"]].startswith("'sold ")


def test_a_refused_ping_has_no_post(office: Office):
    assert office.sell("n-1", zipcode=REFUSED)["status"] == "rejected"
    events = office.told_of("n-1", 1)
    assert plain(events, "ping") == ["received", "started", "succeeded"]
    assert not [event for event in events if event.get("name") == "post"]


def test_while_a_post_runs_inspect_shows_it_alone_with_its_queue(office: Office):
    future = office.producer.submit(lead("w-1", zipcode=SLOW))
    operator = Operator(office.house.broker_url)

    def running() -> list[dict[str, Any]]:
        return [task for node in operator.inspect("active").values() for task in node if task["args"] == ["w-1"]]

    (task,) = wait_for(lambda: [task for task in running() if task["name"] == "post"], WITHIN_S)
    assert task["delivery_info"]["routing_key"] == "post"
    assert not task["acknowledged"]
    assert [task["name"] for task in running()] in (["post"], []), "the ping is no longer at work"
    assert future.result(timeout=WITHIN_S)["status"] == "sold"


def test_each_form_is_counted_by_the_workers_as_the_other(office: Office):
    operator = Operator(office.house.broker_url)

    def totals() -> dict[str, int]:
        stats = operator.inspect("stats").values()
        return {name: sum(node["total"].get(name, 0) for node in stats) for name in ("ping", "post")}

    before = totals()
    assert office.sell("c-1")["status"] == "sold"
    wait_for(lambda: totals() == {name: before[name] + 1 for name in before}, WITHIN_S, lambda: f"{before} {totals()}")


def test_a_post_that_must_come_again_is_the_same_task_retried(office: Office):
    """Last of all: what is refused so slows all calls for a while."""
    assert office.sell("r-1", zipcode=RETRIED)["status"] == "sold"
    events = office.told_of("r-1", 2)
    assert plain(events, "ping") == ["received", "started", "succeeded"]
    told = Counter(plain(events, "post"))
    assert told["succeeded"] == 1
    assert told["retried"] >= 1
    assert told["received"] == told["started"] == told["retried"] + 1
    calls = [line for line in office.house.lines("buyer.call", lead_id="r-1") if line["call"] == "post"]
    assert [line.get("code") for line in calls] == [1100, None]

"""What starts a lead, and what goes on with it, is Celery's own message, but for the ids.

Whatever Celery changes in it, we have changed, too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.core.protocol import Call

PROGRAM = """
import json, sys
from types import SimpleNamespace
from celery import signature
from workers.celery import app
from workers.starting import _form
from tasks.carrying import ANYBODY, Link, hand
from tasks.core.protocol import Call
from tasks.sell import sale_of

call = Call(sys.argv[1])
def caught(publish):
    hand.open(ANYBODY)
    publish()
    return hand.let_go()

def by_celery(link):
    o = link.options
    made = app.amqp.create_task_message(
        o["task_id"], link.task.name, link.args, link.kwargs, root_id=o.get("root_id"), parent_id=o.get("parent_id"),
        chain=o.get("chain"), argsrepr=repr(link.args), kwargsrepr=repr(link.kwargs), ignore_result=True,
    )
    queue = app.amqp.queues[app.conf.task_routes[link.task.name]["queue"]]
    place = {"exchange": queue.exchange.name, "routing_key": queue.routing_key, "redelivered": False}
    return made.body, made.headers, made.properties, place

def by_us(link):
    made = link.message()
    return made.body, made.headers, made.properties, made.delivery_info

ours = [_form(call).letter(lead) for lead in ("x-1", "y:2")]
link = caught(lambda: sale_of("x-1", call).apply_async())
running = SimpleNamespace(id="p-1", root_id="r-1", chain=link.options.get("chain"))
after, theirs = Link.after(running, app.tasks), None
if running.chain:
    *later, last = running.chain
    ids = {"parent_id": running.id, "root_id": running.root_id}
    theirs = caught(lambda: signature(last, app=app).apply_async((7,), chain=later, priority=None, **ids))
print(json.dumps({
    "ours": [[json.loads(o.message.body), dict(o.message.properties), o.exchange, o.routing_key] for o in ours],
    "celery": by_celery(link),
    "link": by_us(link),
    "after": after and by_us(after),
    "after by celery": theirs and by_celery(theirs),
}, default=str))
"""


@pytest.fixture(params=list(Call), scope="module")
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list]:
    folder = tmp_path_factory.mktemp("starting")
    environment = {
        **os.environ,
        "PINGPOST_DATA": str(folder),
        "PINGPOST_BROKER_URL": "amqp://nobody@127.0.0.1:1//",
        "PINGPOST_STATE_URL": "redis://127.0.0.1:1/0",
    }
    argv = [sys.executable, "-c", PROGRAM, request.param.value]
    run = subprocess.run(argv, env=environment, cwd=Path.cwd(), capture_output=True, text=True, timeout=60, check=True)
    return json.loads(run.stdout)


def without_ids(body: list) -> object:
    """A message's body, its tasks' ids and the asker's put aside."""
    text = json.loads(json.dumps(body))
    for link in text[2]["chain"] or []:
        for name in ("task_id", "reply_to"):
            assert link["options"].pop(name)
    return text


def test_the_body_is_what_celery_publishes(told: dict[str, list]):
    ours, (celery, *_) = told["ours"][0][0], told["celery"]
    assert without_ids(ours) == without_ids(celery)


def test_the_headers_are_celery_s_without_those_that_say_nothing(told: dict[str, list]):
    ours, celery = told["ours"][0][1]["application_headers"], told["celery"][1]
    own = ("id", "root_id", "origin")
    assert {k: v for k, v in ours.items() if k not in own} == {
        k: v for k, v in celery.items() if k not in own and v and v != [None, None]
    }
    assert ours["id"] == ours["root_id"] == told["ours"][0][1]["correlation_id"]


def test_it_goes_where_celery_sends_it(told: dict[str, list]):
    place = told["celery"][3]
    assert told["ours"][0][2:] == [place["exchange"], place["routing_key"]]


def test_a_link_is_celery_s_message(told: dict[str, list]):
    assert told["link"] == told["celery"]


def test_the_next_link_is_the_one_that_celery_would_publish(told: dict[str, list]):
    assert told["after"] == told["after by celery"]
    assert (told["after"] is None) == (not told["celery"][0][2]["chain"])


def test_each_lead_has_its_own_ids_and_nothing_of_another_s(told: dict[str, list]):
    first, second = (json.dumps(message) for message in told["ours"])
    assert "x-1" in first
    assert "x-1" not in second
    assert "y:2" in second
    ids = [
        [message[1]["correlation_id"], *(link["options"]["task_id"] for link in message[0][2]["chain"] or [])]
        for message in told["ours"]
    ]
    assert len({one for mine in ids for one in mine}) == sum(map(len, ids)), "no id twice"

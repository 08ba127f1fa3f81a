"""Messages that are no task, put straight onto the workers' queues: kept once, with the reason; the worker goes on."""

from __future__ import annotations

import base64
import json
import pickle
import uuid
from collections.abc import Mapping
from typing import Any, Final

import amqp
import pytest
from kombu import Connection, Producer
from redis import Redis

from tests.faults.conftest import House, send
from tests.frontdoor.test_refusals import Unreadable
from tests.integration.installation import wait_for
from tests.integration.upstream import amqp_connection

SECRET: Final = "Hildegard-4711"
JSON: Final = "application/json"
BODY: Final = json.dumps([["nobody"], {}, {}]).encode()


def _headers(task: object, **more: object) -> dict[str, Any]:
    return {"id": uuid.uuid4().hex, "task": task, "lang": "py", "argsrepr": "", "kwargsrepr": "", **more}


# name: body, content type, headers, how the reason begins
POISON: Final[Mapping[str, tuple[bytes, str, dict[str, Any], str]]] = {
    "cut JSON": (b'[["' + SECRET.encode(), JSON, _headers("ping"), "cannot be decoded"),
    "not UTF-8": (b"\xff\xfe" + SECRET.encode(), JSON, _headers("ping"), "cannot be decoded"),
    "pickle": (
        pickle.dumps([[SECRET], {}, {}]),
        "application/x-python-serialize",
        _headers("ping"),
        "cannot be decoded",
    ),
    "an unknown content type": (SECRET.encode(), "application/x-unheard-of", _headers("ping"), ""),
    "no task": (json.dumps({"telephone": SECRET}).encode(), JSON, {}, "no task's message"),
    "an unknown task": (BODY, JSON, _headers(f"no_such_{SECRET}"), "no task of this name"),
    "a task that is no name": (BODY, JSON, _headers([SECRET]), "no task's message"),
    "no id": (BODY, JSON, {"task": "ping", "lang": "py"}, "no task's message"),
    "an impossible time": (BODY, JSON, _headers("ping", eta=SECRET), "no task's message"),
    "an object for arguments": (json.dumps({"args": 7}).encode(), JSON, _headers("ping"), ""),
    "too many arguments": (json.dumps([["nobody", "else"], {}, {}]).encode(), JSON, _headers("post"), "TypeError"),
    "an argument that is no id": (
        json.dumps([[f"{SECRET} Street"], {}, {}]).encode(),
        JSON,
        _headers("ping"),
        "no task's",
    ),
    "an earlier protocol": (
        json.dumps({"task": "ping", "id": "1", "args": [SECRET], "kwargs": {}}).encode(),
        JSON,
        {},
        "no task's message",
    ),
    "a number for arguments": (b"7", JSON, _headers("ping"), ""),
}


def _letters(house: House) -> list[str]:
    return [one["reason"] for one in house.installation.answer("dead", "list", "--json") if one["queue"] == "dead"]


@pytest.mark.parametrize("queue", ["ping", "post", "upkeep"])
def test_what_is_no_task_ends_in_the_dead_letters_once_and_the_worker_goes_on(house: House, queue: str):
    """Its content is nowhere in the log; a lead behind it is sold by the same processes."""
    before = _letters(house)
    parts = {name: house.installation.part(name).pid for name in ("ping1", "post1")}
    with Connection(house.installation.broker_url) as connection:
        producer = Producer(connection)
        for body, content_type, headers, _ in POISON.values():
            producer.publish(
                body, routing_key=queue, content_type=content_type, content_encoding="utf-8", headers=headers
            )

    name = f"poison-{queue}"
    send(house, (name, {"zipcode": "60060"}))
    assert house.outcome(name)["status"] == "sold"

    wait_for(lambda: len(_letters(house)) >= len(before) + len(POISON), 20, lambda: str(_letters(house)[len(before) :]))
    found = sorted(_letters(house))
    for reason in before:
        found.remove(reason)
    assert len(found) == len(POISON), found
    for what, (*_, begins) in POISON.items():
        assert any(reason.startswith(begins) for reason in found), (what, found)
    assert SECRET not in house.installation.log_text()
    assert {name: house.installation.part(name).pid for name in parts} == parts


# What is pushed straight onto a list, by whoever takes it for the queue of leads.
RAW: Final[Mapping[str, bytes]] = {
    "a plain lead": json.dumps({"lead_id": "raw", "telephone": SECRET}).encode(),
    "no JSON": SECRET.encode(),
    "not UTF-8": b"\xff" + SECRET.encode(),
    "a number": b"7",
    "half an envelope": json.dumps({"body": SECRET, "headers": {}, "properties": {"delivery_tag": "1"}}).encode(),
    "an envelope that cannot be opened": json.dumps(
        {"body": "*", "properties": {"body_encoding": "base64", "delivery_tag": "1", "delivery_info": {}}}
    ).encode(),
    "nested deeply": b"[" * 100_000,
    "empty": b"",
}


@pytest.mark.parametrize("queue", ["ping", "post", "upkeep"])
def test_what_is_pushed_onto_a_worker_s_list_is_kept_whole_and_ends_no_worker(houses, queue: str):
    """kombu reads an element after it has popped it: one that is no message ended the worker, and was gone."""
    house: House = houses["embedded"]
    before = len(_letters(house))
    parts = {name: house.installation.part(name).pid for name in ("ping1", "post1")}
    with Redis.from_url(house.installation.broker_url) as client:
        for element in RAW.values():
            client.lpush(queue, element)

        name = f"raw-{queue}"
        send(house, (name, {"zipcode": "60062"}))
        assert house.outcome(name)["status"] == "sold"

        wait_for(lambda: len(_letters(house)) >= before + len(RAW), 20, lambda: str(_letters(house)))
        kept = [json.loads(letter) for letter in client.lrange("dead", 0, len(RAW) - 1)]  # type: ignore[union-attr]  # its stubs allow for an asynchronous client
    assert {base64.b64decode(letter["body"]) for letter in kept} == set(RAW.values())
    assert SECRET not in house.installation.log_text()
    assert {name: house.installation.part(name).pid for name in parts} == parts


@pytest.mark.rabbitmq
@pytest.mark.parametrize("queue", ["ping", "post", "upkeep"])
def test_properties_that_py_amqp_cannot_read_end_in_the_dead_letters_and_break_no_connection(houses, queue: str):
    """They broke the reader, the connection, and with each redelivery the next worker's."""
    house: House = houses["rabbitmq"]
    before, away = len(_letters(house)), len(house.installation.lines("broker.away"))
    with amqp_connection(house.installation.broker_url) as connection:
        for properties in (Unreadable.ID, Unreadable.TIME):
            message = amqp.Message(BODY)
            message._serialize_properties = lambda properties=properties: properties
            connection.channel().basic_publish(message, routing_key=queue)

    wait_for(lambda: len(_letters(house)) >= before + 2, 20, lambda: str(_letters(house)))
    name = f"unreadable-{queue}"
    send(house, (name, {"zipcode": "60061"}))
    assert house.outcome(name)["status"] == "sold"
    assert len(_letters(house)) == before + 2
    assert len(house.installation.lines("broker.away")) == away

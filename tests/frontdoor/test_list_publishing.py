"""Publishing onto lists of Redis: as kombu's own messages, many in one go, none of them taken for told that is not."""

from __future__ import annotations

from functools import partial

import pytest
from amqp import Message
from kombu import Connection

from tasks.away import BROKER_AWAY
from tasks.publishing import Letter, ListPublisher
from tests.frontdoor.wire import RedisWire
from tests.ledger.stories import at_once, without_faults
from workers.tellers import open_list_publisher
from workers.transport import connect_to

QUEUE = "publishing.letters"


def letter(body: str) -> Letter:
    message = Message(
        body.encode(),
        content_type="application/json",
        content_encoding="utf-8",
        delivery_mode=2,
        correlation_id=f"of {body}",
        application_headers={"task": "ping"},
    )
    return Letter(message, "tasks", QUEUE)


@pytest.fixture
def publisher(redis_wire: RedisWire) -> ListPublisher:
    return open_list_publisher(redis_wire.url)


def bodies(wire: RedisWire) -> list[str]:
    with connect_to(wire.url) as connection, connection.SimpleQueue(QUEUE) as queue:
        return [bytes(queue.get(block=False).body).decode() for _ in range(wire.depth(QUEUE))]


def test_what_is_published_is_a_message_of_kombu_s(publisher: ListPublisher, redis_wire: RedisWire):
    assert publisher.publish([letter('"a"'), letter('"b"')]) == [True, True]
    connection: Connection
    with connect_to(redis_wire.url) as connection, connection.SimpleQueue(QUEUE) as queue:
        message = queue.get(timeout=5)
    assert message.payload == "a", "in their order"
    assert message.headers == {"task": "ping"}
    assert message.content_type == "application/json"
    assert message.properties["correlation_id"] == 'of "a"'
    assert message.delivery_info["routing_key"] == QUEUE


def test_all_of_many_threads_are_with_the_broker_when_each_goes_on(publisher: ListPublisher, redis_wire: RedisWire):
    works = [partial(publisher.publish, [letter(f"{n}a"), letter(f"{n}b")]) for n in range(40)]
    assert without_faults(at_once(works)) == [[True, True]] * 40
    assert sorted(bodies(redis_wire)) == sorted(f"{n}{half}" for n in range(40) for half in "ab")


def test_a_connection_that_the_broker_closed_meanwhile_is_replaced(publisher: ListPublisher, redis_wire: RedisWire):
    publisher.publish([letter("before")])
    for client in redis_wire.client.client_list():
        if client["id"] != str(redis_wire.client.client_id()):
            redis_wire.client.client_kill_filter(_id=client["id"])
    assert publisher.publish([letter("after")]) == [True]
    assert bodies(redis_wire) == ["before", "after"]


def test_a_broker_that_takes_nothing_is_away(publisher: ListPublisher, redis_wire: RedisWire):
    redis_wire.client.set(QUEUE, "no list")
    with pytest.raises(BROKER_AWAY):
        publisher.publish([letter("lost")])
    redis_wire.client.delete(QUEUE)
    assert publisher.publish([letter("next")]) == [True]
    assert bodies(redis_wire) == ["next"]

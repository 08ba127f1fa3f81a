"""Publishing over RabbitMQ: many threads' messages at once, each with the broker before its thread goes on."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from amqp import Message
from amqp.exceptions import NotFound
from kombu import Connection

from tasks.publishing import Letter, Publisher
from tests.frontdoor.wire import AmqpWire
from tests.ledger.stories import at_once, without_faults
from workers.tellers import open_publisher

QUEUE, FULL = "publishing.letters", "publishing.full"

pytestmark = pytest.mark.rabbitmq


def letter(body: str = "a letter", to: str = QUEUE, exchange: str = "") -> Letter:
    return Letter(Message(body.encode(), delivery_mode=2), exchange, to)


@pytest.fixture
def channel(amqp_wire: AmqpWire) -> Iterator[Any]:
    channel = amqp_wire.channel
    channel.queue_declare(QUEUE, durable=True, auto_delete=False)
    limits = {"x-max-length": 1, "x-overflow": "reject-publish"}
    channel.queue_declare(FULL, durable=True, auto_delete=False, arguments=limits)
    yield channel
    channel.queue_delete(QUEUE)
    channel.queue_delete(FULL)


@pytest.fixture
def publisher(amqp_wire: AmqpWire, channel: Any) -> Iterator[Publisher]:
    publisher = open_publisher(amqp_wire.url, lambda _: None)
    yield publisher
    publisher.close()


def bodies(channel: Any) -> list[str]:
    found = []
    while (message := channel.basic_get(QUEUE, no_ack=True)) is not None:
        found.append(bytes(message.body).decode())
    return found


def test_all_of_many_threads_are_with_the_broker_when_each_goes_on(publisher: Publisher, channel: Any):
    works = [partial(publisher.publish, [letter(f"{n}a"), letter(f"{n}b")]) for n in range(40)]
    assert without_faults(at_once(works)) == [[True, True]] * 40
    assert sorted(bodies(channel)) == sorted(f"{n}{half}" for n in range(40) for half in "ab")


def test_a_full_queue_refuses_its_own_and_no_other_message(publisher: Publisher, channel: Any):
    publisher.publish([letter(to=FULL)])
    assert publisher.publish([letter(), letter(to=FULL), letter()]) == [True, False, True]
    assert len(bodies(channel)) == 2


def test_a_connection_that_the_broker_closed_meanwhile_is_replaced(publisher: Publisher, channel: Any):
    publisher.publish([letter("before")])
    connection: Connection = publisher._connection
    connection.connection.transport.sock.close()
    assert publisher.publish([letter("after")]) == [True]
    assert bodies(channel) == ["before", "after"]


def test_a_message_for_which_the_broker_closes_the_channel_is_one_thread_s_error(publisher: Publisher, channel: Any):
    """What others sent in the same moment is sent again, alone: told at least once."""
    lost = letter("lost", exchange="publishing.nowhere")
    results = at_once([lambda: publisher.publish([lost]), *[lambda: publisher.publish([letter("kept")])] * 8])
    assert isinstance(results[0], NotFound)
    assert without_faults(results[1:]) == [[True]] * 8
    assert bodies(channel).count("kept") >= 8


def test_a_message_that_cannot_be_written_is_one_thread_s_error(publisher: Publisher, channel: Any):
    unfit = Letter(Message(b"x", correlation_id=object()), "", QUEUE)
    results = at_once([lambda: publisher.publish([unfit]), *[lambda: publisher.publish([letter("kept")])] * 8])
    assert isinstance(results[0], Exception)
    assert without_faults(results[1:]) == [[True]] * 8
    assert bodies(channel).count("kept") >= 8

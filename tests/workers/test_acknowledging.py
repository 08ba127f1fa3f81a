"""Acknowledgements: written by the thread that ran the task where its connection allows it, else left to the loop."""

from __future__ import annotations

import logging
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from amqp import Channel
from amqp.method_framing import frame_writer
from kombu import Message

from tests.workers.socketpair import Wire
from workers.consumer import Consumer

ACK = (60, 80)  # the class and the method of ``basic.ack``
ACK_BYTES = 7 + 4 + 9 + 1
WITHIN_S = 20


class Hub:
    """A loop that is never run."""

    def __init__(self) -> None:
        self.left: list[Any] = []

    def call_soon(self, callback: Any) -> None:
        self.left.append(callback)


class OpenChannel(Channel):
    """A channel that asks nobody whether it may be open."""

    no_ack_consumers = frozenset[str]()

    def __init__(self, connection: Any) -> None:
        self.connection, self.channel_id = connection, 1


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    wire.connection.frame_writer = frame_writer(wire.connection, wire.transport)
    yield wire
    wire.close()


@pytest.fixture
def consumer() -> Consumer:
    consumer = Consumer.__new__(Consumer)
    consumer.hub = Hub()
    return consumer


def message(wire: Wire, tag: int) -> Message:
    return Message(delivery_tag=tag, channel=OpenChannel(wire.connection))


def acknowledge(consumer: Consumer, one: Message) -> None:
    consumer.call_soon_ack(one.ack_log_error, logging.getLogger(__name__), (ConnectionResetError,))


def acknowledged(wire: Wire, count: int) -> list[int]:
    """Read so many acknowledgements from the other end, each of which must be whole."""
    wire.there.settimeout(WITHIN_S)
    stream = b""
    while len(stream) < count * ACK_BYTES:
        stream += wire.there.recv(65_536)
    tags = []
    for place in range(0, len(stream), ACK_BYTES):
        kind, channel, size, *method, tag, multiple, end = struct.unpack_from(">BHIHHQBB", stream, place)
        assert (kind, channel, size, tuple(method), multiple, end) == (1, 1, 13, ACK, 0, 0xCE)
        tags.append(tag)
    return tags


def test_the_thread_that_asks_writes_it(wire: Wire, consumer: Consumer):
    one = message(wire, 7)
    acknowledge(consumer, one)
    assert acknowledged(wire, 1) == [7]
    assert one.acknowledged
    assert consumer.hub.left == []


def test_threads_that_write_at_once_leave_each_other_s_whole(wire: Wire, consumer: Consumer):
    threads, each = 8, 400

    def write(first: int) -> None:
        for tag in range(first, first + each):
            acknowledge(consumer, message(wire, tag))

    writers = [threading.Thread(target=write, args=(number * each,)) for number in range(threads)]
    for writer in writers:
        writer.start()
    tags = acknowledged(wire, threads * each)
    for writer in writers:
        writer.join(WITHIN_S)
    assert sorted(tags) == list(range(threads * each))


def test_where_tls_is_between_it_is_the_loop_s(wire: Wire, consumer: Consumer):
    """OpenSSL's state is not to be shared by a thread that writes and one that reads."""
    wire.connection.transport = object()
    one = message(wire, 7)
    acknowledge(consumer, one)
    assert not one.acknowledged
    assert len(consumer.hub.left) == 1


def test_on_other_transports_it_is_the_loop_s(consumer: Consumer):
    acknowledge(consumer, Message(delivery_tag=7, channel=None))
    assert len(consumer.hub.left) == 1


def test_a_connection_that_is_gone_is_left_to_the_loop_to_find(wire: Wire, consumer: Consumer):
    """The thread has more to do than to end by it."""
    wire.there.close()
    one = message(wire, 7)
    with pytest.raises(BrokenPipeError):
        one.ack_log_error(logging.getLogger(__name__), ())
    acknowledge(consumer, one)
    one.channel.channel_id = None  # as the loop leaves it on its way out
    acknowledge(consumer, one)
    assert not one.acknowledged

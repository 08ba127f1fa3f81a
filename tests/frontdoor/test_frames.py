"""Frames of AMQP, however they arrive: read ahead, each is handed on once, whole and in its order."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from amqp.exceptions import UnexpectedFrame
from amqp.transport import TCPTransport
from hypothesis import given
from hypothesis import strategies as st

from workers.frames import AHEAD_BYTES, Frames

WITHIN_S = 20
PAYLOADS = st.lists(
    st.binary(max_size=40) | st.sampled_from([b"x" * AHEAD_BYTES, b"y" * (AHEAD_BYTES + 5)]), max_size=5
)


class Wire:
    """A connection of py-amqp's, as far as it reads, and the other side of it."""

    def __init__(self) -> None:
        self.there, here = socket.socketpair()
        self.transport: Any = TCPTransport("nowhere")
        self.transport.sock = here
        self.transport._setup_transport()
        self.transport.connected = True
        self.seen: list[tuple[int, int, bytes]] = []
        self.connection: Any = SimpleNamespace(
            transport=self.transport, blocking_read=self._read, on_inbound_frame=self.seen.append
        )
        Frames()(self.connection, lambda *_: None)

    def _read(self, timeout: float | None = None) -> None:
        """As py-amqp's own."""
        with self.transport.having_timeout(timeout):
            frame = self.transport.read_frame()
        self.seen.append(frame)

    def drain(self) -> None:
        """Read all that has arrived, as kombu's loop does: until nothing is there, and once more when it is told."""
        for _ in range(2):
            with suppress(TimeoutError):
                while True:
                    self.connection.blocking_read(0)

    def close(self) -> None:
        self.there.close()
        self.transport.sock.close()


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.close()


def frame(payload: bytes, channel: int = 1) -> bytes:
    return struct.pack(">BHI", 3, channel, len(payload)) + payload + b"\xce"


@given(payloads=PAYLOADS, cuts=st.lists(st.integers(0, 4 * AHEAD_BYTES), max_size=8))
def test_frames_are_read_however_they_are_cut(payloads: list[bytes], cuts: list[int]):
    wire = Wire()
    try:
        stream = b"".join(frame(payload, number) for number, payload in enumerate(payloads))
        places = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
        for first, last in pairwise(places):
            wire.there.sendall(stream[first:last])
            wire.drain()
        assert wire.seen == [(3, number, payload) for number, payload in enumerate(payloads)]
    finally:
        wire.close()


def test_who_waits_is_given_what_comes_and_no_more_time_than_asked(wire: Wire):
    with pytest.raises(TimeoutError):
        wire.connection.blocking_read(0.01)

    late = threading.Timer(0.05, wire.there.sendall, [frame(b"late") + frame(b"and next")])
    late.start()
    wire.connection.blocking_read(WITHIN_S)
    wire.connection.blocking_read(WITHIN_S)
    assert [payload for _, _, payload in wire.seen] == [b"late", b"and next"]
    late.join()


def test_who_waits_for_ever_is_given_what_comes(wire: Wire):
    wire.there.sendall(frame(b"one") + frame(b"two"))
    wire.connection.blocking_read(None)
    wire.connection.blocking_read(None)
    assert [payload for _, _, payload in wire.seen] == [b"one", b"two"]


@pytest.mark.parametrize("timeout", [0, WITHIN_S])
def test_a_connection_that_the_broker_closes_is_known_to_be_broken(wire: Wire, timeout: float):
    wire.there.sendall(frame(b"last") + b"\x01")
    wire.there.close()
    wire.connection.blocking_read(timeout)
    with suppress(TimeoutError):  # once: all that there was has been read
        wire.connection.blocking_read(0)
    with pytest.raises(OSError, match="closed"):
        wire.connection.blocking_read(timeout)
    assert not wire.transport.connected


def test_what_is_no_frame_is_refused(wire: Wire):
    wire.there.sendall(frame(b"short")[:-1] + b"!")
    with pytest.raises(UnexpectedFrame):
        wire.connection.blocking_read(WITHIN_S)

"""Frames of AMQP, however they arrive: read ahead, each is handed on once, whole and in its order."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise

import pytest
from amqp.exceptions import UnexpectedFrame
from hypothesis import given
from hypothesis import strategies as st
from urllib3.util.wait import wait_for_read

from tests.workers.socketpair import Wire, frame
from workers.readahead import AHEAD_BYTES

WITHIN_S = 20
PAYLOADS = st.lists(
    st.binary(max_size=40) | st.sampled_from([b"x" * AHEAD_BYTES, b"y" * (AHEAD_BYTES + 5)]), max_size=5
)


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.close()


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


def test_who_waits_is_given_what_comes(wire: Wire, monkeypatch: pytest.MonkeyPatch):
    def comes_while_it_waits(sock: socket.socket, timeout: float) -> bool:
        wire.there.sendall(frame(b"late") + frame(b"and next"))
        return wait_for_read(sock, timeout)

    monkeypatch.setattr("workers.readahead.wait_for_read", comes_while_it_waits)
    wire.connection.blocking_read(WITHIN_S)
    wire.connection.blocking_read(WITHIN_S)
    assert [payload for _, _, payload in wire.seen] == [b"late", b"and next"]


@pytest.mark.parametrize("there", [b"", frame(b"half of it")[:-3]])
def test_who_waits_in_vain_is_told_and_loses_nothing(wire: Wire, there: bytes):
    wire.there.sendall(there)
    with pytest.raises(TimeoutError):
        wire.connection.blocking_read(0.01)
    wire.there.sendall(frame(b"half of it").removeprefix(there))
    wire.connection.blocking_read(WITHIN_S)
    assert [payload for _, _, payload in wire.seen] == [b"half of it"]


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

"""How py-amqp reads frames here: what has arrived in one go, and outliving properties that it cannot read."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from typing import Any, Final

from amqp.exceptions import AMQPError, UnexpectedFrame
from amqp.method_framing import frame_handler
from amqp.transport import SSLTransport
from urllib3.util.wait import wait_for_read

UNREADABLE: Final = "unreadable properties"
# py-amqp asks the socket for each part of each frame: nine times for one message, each a chance for another thread to
# take the interpreter. So much at once holds some dozen of our messages; what is left over is copied at each part.
AHEAD_BYTES: Final = 16_384
_HEAD: Final = struct.Struct(">BHI")  # a frame's type, its channel, the size of what it carries
_END: Final = 0xCE
_AROUND: Final = _HEAD.size + 1  # bytes of a frame beside what it carries
_HEADER_FRAME: Final = 2
_HEADER_START: Final = 12  # bytes before the properties: class, weight, body size
# A header with one property, `type`, which says that the real ones could not be read.
_MARKED: Final = struct.pack(">HB", 0x0020, len(UNREADABLE)) + UNREADABLE.encode()

Frame = tuple[int, int, bytes]


class Frames:
    """A py-amqp frame handler that gives a message whose properties cannot be read the type `UNREADABLE`.

    It also lets the connection read ahead. py-amqp decodes properties inside its reader. A client that sends a name
    that is not UTF-8, or a header of an unheard-of type, would break our connection, and again each time that the
    broker hands the message out.
    """

    def __call__(self, connection: Any, callback: Callable[..., None]) -> Callable[[Frame], Any]:
        """Give the handler of one connection's frames."""
        _read_ahead(connection)
        on_frame = frame_handler(connection, callback)

        def read(frame: Frame) -> Any:
            try:
                return on_frame(frame)
            except (AMQPError, ValueError, OverflowError, LookupError, ArithmeticError, RecursionError, struct.error):
                kind, channel, payload = frame
                if kind != _HEADER_FRAME:
                    raise
                return on_frame((kind, channel, bytes(payload[:_HEADER_START]) + _MARKED))

        return read

    def __json__(self) -> str:
        """Say what stands here: ``celery inspect`` sends a connection's options over the wire."""
        return "frames"


def _read_ahead(connection: Any) -> None:
    """Let a connection take from its socket what has arrived, and ask that only when it has no whole frame left.

    Without TLS it also waits by `poll`: py-amqp sets the socket's timeout before each frame, and back after it.
    """
    transport = connection.transport
    receive, read = transport._quick_recv, connection.blocking_read  # noqa: SLF001 - there is no option for it
    transport._quick_recv = lambda least: receive(max(least, AHEAD_BYTES))  # noqa: SLF001 - as above
    is_plain = not isinstance(transport, SSLTransport)
    emptied = False

    def blocking_read(timeout: float | None = None) -> Any:
        nonlocal emptied
        if timeout is None or not is_plain:
            frame = _next_frame(transport)
            return read(timeout) if frame is None else connection.on_inbound_frame(frame)
        until = time.monotonic() + timeout if timeout else 0
        while (frame := _next_frame(transport)) is None:
            if timeout == 0 and emptied:
                emptied = False  # the loop that asks comes again when there is more
                raise TimeoutError
            if timeout and not wait_for_read(transport.sock, max(0.0, until - time.monotonic())):
                raise TimeoutError
            try:
                arrived = transport.sock.recv(AHEAD_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                raise TimeoutError from None
            except OSError:
                arrived = b""
            if not arrived:
                return read(timeout)  # which finds, and keeps, that the connection is broken
            transport._read_buffer += arrived  # noqa: SLF001 - as above
            emptied = len(arrived) < AHEAD_BYTES
        return connection.on_inbound_frame(frame)

    connection.blocking_read = blocking_read


def _next_frame(transport: Any) -> Frame | None:
    """Take a frame that has arrived whole, as py-amqp's `read_frame` does part by part; None: there is none."""
    arrived: bytes = transport._read_buffer  # noqa: SLF001 - as above
    if len(arrived) < _AROUND:
        return None
    kind, channel, size = _HEAD.unpack_from(arrived)
    end = size + _AROUND
    if len(arrived) < end:
        return None
    if arrived[end - 1] != _END:
        raise UnexpectedFrame(f"a frame ends with {arrived[end - 1]:#04x}")
    transport._read_buffer = arrived[end:]  # noqa: SLF001 - as above
    return kind, channel, arrived[_HEAD.size : end - 1]

"""kombu's transport over AMQP, whose connections take what has arrived from the socket in one go.

py-amqp asks the socket for each part of each frame, and sets its timeout before each frame and back after it: a dozen
calls to the system for one message, each a chance for another thread to take the interpreter. Over half a frame it asks
again and again, at full load, until the rest comes.
"""

from __future__ import annotations

import socket
import struct
import time
from typing import Any, Final

from amqp.exceptions import UnexpectedFrame
from amqp.transport import TCPTransport
from kombu.transport import pyamqp
from urllib3.util.wait import wait_for_read

# Some dozen of our messages; what is left over is copied at each frame.
AHEAD_BYTES: Final = 16_384
_HEAD: Final = struct.Struct(">BHI")  # a frame's type, its channel, the size of what it carries
_END: Final = 0xCE
_AROUND: Final = _HEAD.size + 1  # bytes of a frame beside what it carries

_BOUNDS: Final = ("connect_timeout", "ssl", "read_timeout", "write_timeout")

Frame = tuple[int, int, bytes]


class ReadAhead(TCPTransport):
    """A socket without TLS, read ahead: with TLS, OpenSSL does so."""

    _read_buffer: bytes
    _emptied = False

    def next_frame(self, timeout_s: float) -> Frame | None:
        """Wait for a frame and take it, within `timeout_s` (0: of what has arrived). None: nothing more will come.

        Raises:
            TimeoutError: it is not there, or only half of it. What is there stays.
            UnexpectedFrame: what is there is none.
        """
        until = time.monotonic() + timeout_s if timeout_s else 0
        while (frame := self._whole_frame()) is None:
            if timeout_s == 0 and self._emptied:
                self._emptied = False  # the loop that asks comes again when there is more
                raise TimeoutError
            if timeout_s and not wait_for_read(self.sock, max(0.0, until - time.monotonic())):
                raise TimeoutError
            try:
                arrived = self.sock.recv(AHEAD_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                raise TimeoutError from None
            except OSError:
                return None
            if not arrived:
                return None
            self._read_buffer += arrived
            self._emptied = len(arrived) < AHEAD_BYTES
        return frame

    def _whole_frame(self) -> Frame | None:
        arrived: bytes = self._read_buffer
        if len(arrived) < _AROUND:
            return None
        kind, channel, size = _HEAD.unpack_from(arrived)
        end = size + _AROUND
        if len(arrived) < end:
            return None
        if arrived[end - 1] != _END:
            raise UnexpectedFrame(f"a frame ends with {arrived[end - 1]:#04x}")
        self._read_buffer = arrived[end:]
        return kind, channel, arrived[_HEAD.size : end - 1]


class Connection(pyamqp.Connection):
    """kombu's connection, on such a socket."""

    def Transport(self, host: str, *bounds: Any, **options: Any) -> Any:  # noqa: N802 - py-amqp's name
        """Give what reads and writes; with TLS, py-amqp's own. `bounds` are py-amqp's, in its order (`_BOUNDS`)."""
        named = dict(zip(_BOUNDS, bounds, strict=False)) | options
        if named.pop("ssl", None):
            return super().Transport(host, *bounds, **options)
        return ReadAhead(host, **named)

    @property
    def takes_turns(self) -> bool:
        """Whether any thread may write a frame while another reads. With TLS they would share OpenSSL's state."""
        return isinstance(self.transport, ReadAhead)

    def blocking_read(self, timeout: float | None = None) -> Any:
        """Read a frame and handle it. Who waits for ever (or as long as the socket's own timeout) has py-amqp's way."""
        if timeout is not None and isinstance(self.transport, ReadAhead):
            frame = self.transport.next_frame(timeout)
            if frame is not None:
                return self.on_inbound_frame(frame)
        # Where nothing more will come, this finds it, and keeps that the connection is broken.
        return super().blocking_read(timeout)


class Transport(pyamqp.Transport):
    """kombu's transport with these connections."""

    Connection = Connection

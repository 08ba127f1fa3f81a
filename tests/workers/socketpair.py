"""A connection to a broker that is the test itself, at the other end of a pair of sockets."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress

from workers.readahead import Connection


def frame(payload: bytes, channel: int = 1) -> bytes:
    return struct.pack(">BHI", 3, channel, len(payload)) + payload + b"\xce"


class Wire:
    """A connection of ours that is connected to nobody but the test."""

    def __init__(self) -> None:
        self.there, here = socket.socketpair()
        self.connection = Connection("nowhere")
        self.transport = self.connection.transport = self.connection.Transport("nowhere", None)
        self.transport.sock = here
        self.transport._setup_transport()
        self.transport.connected = True
        self.seen: list[tuple[int, int, bytes]] = []
        self.connection.on_inbound_frame = self.seen.append

    def drain(self) -> None:
        """Read all that has arrived, as kombu's loop does: until nothing is there, and once more when it is told."""
        for _ in range(2):
            with suppress(TimeoutError):
                while True:
                    self.connection.blocking_read(0)

    def close(self) -> None:
        self.there.close()
        self.transport.sock.close()

"""Ports on loopback for servers of our own."""

from __future__ import annotations

import errno
import secrets
import socket

LOOPBACK = "127.0.0.1"
# Below the range from which Linux and macOS take the ports of outgoing connections: one of those would sit on a port
# that is kept from one start to the next, sooner or later.
PORTS = range(20_000, 32_000)


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of loopback now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def pick_port() -> int:
    """Pick a free port at random.

    Raises:
        OSError: none was found.
    """
    for _ in range(200):
        port = secrets.choice(PORTS)
        if is_free(port):
            return port
    raise OSError(errno.EADDRINUSE, f"no free port between {PORTS.start} and {PORTS.stop} on {LOOPBACK}")

"""Ports on loopback for servers of our own."""

from __future__ import annotations

import errno
import secrets
import socket

LOOPBACK = "127.0.0.1"
# Below the range from which Linux and macOS take the ports of outgoing connections: one of those would sit on a port
# that is kept from one start to the next, sooner or later.
PORTS = range(20_000, 32_000)


def is_free(port: int, address: str = LOOPBACK) -> bool:
    """Whether a server could listen on this port now, of loopback or of another address of this machine."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
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

"""A Redis or Valkey of one's own: empty, on loopback and a free port, kept in memory where nothing else is asked."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import redis

from ops.servers.own import OwnServer, free_port
from ops.servers.waiting import wait_until
from workers.server_program import EmbeddedError, find_program

START_S = 15


class NoRedis(Exception):
    """There is no server to start, or it did not start."""


def start_redis(
    folder: Path | None = None, *, program: Path | None = None, more: Mapping[str, str] | None = None
) -> tuple[str, Callable[[], None]]:
    """Start a server of its own in a new folder inside `folder` (default: the system's for temporary files).

    `program` is a server to run instead of the one that is found; `more` are options of its configuration.

    Returns:
        Its URL, and what stops it and removes its files.

    Raises:
        NoRedis: none is installed, or it does not start.
    """
    try:
        program = program or find_program().path
    except EmbeddedError as none:
        raise NoRedis(str(none)) from none
    own = OwnServer("redis", folder)
    try:
        for _ in range(3):  # a port that was free may be taken before the server has it
            port = free_port()
            options = {"bind": "127.0.0.1", "port": str(port), "save": "", "appendonly": "no", "dir": str(own.home)}
            options.update(more or {})
            server = own.run([program, *(part for name, value in options.items() for part in (f"--{name}", value))])
            with redis.Redis(port=port, socket_timeout=2) as client:
                settled = wait_until(partial(_settled, server, client), within_s=START_S)
            if settled and server.poll() is None:
                return f"redis://127.0.0.1:{port}/0", own.stop
            own.kill()
        raise NoRedis(f"{program} does not start: {own.output}")
    except BaseException:
        own.stop()
        raise


def _settled(server: subprocess.Popen[bytes], client: redis.Redis) -> bool:
    """Whether the server has ended or answers."""
    try:
        return server.poll() is not None or bool(client.ping())
    except redis.RedisError:
        return False

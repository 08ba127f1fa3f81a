"""A broker of our own for one machine: a real Valkey that keeps its data under PINGPOST_DATA (ops/adr/0003).

It listens on loopback with a random password; port and password are kept, so that its URL stays the same from one
start to the next. `Embedded` prepares and probes a server that someone else runs (`workers.supervisor`); `running` runs
one for the time of a ``with`` block.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from workers import deaf, folder
from workers.leash import Leash
from workers.ports import LOOPBACK, is_free, pick_port
from workers.server_program import EmbeddedError, Program, find_program

__all__ = ["Embedded", "EmbeddedError", "Flush", "Program", "find_program", "running"]

# The append-only file became a folder of files with Redis 7.0: an older server would not see it and start empty.
FIRST_WITH_FOLDER = (7, 0, 0)

# `noeviction`: a full memory refuses a lead rather than dropping one.
# Without the RDB preamble the file is plain commands, which Valkey and Redis of any later version read.
_CONFIG = """\
bind {host}
port {port}
protected-mode yes
requirepass {password}
dir {folder}
appendonly yes
appendfsync {flush}
aof-use-rdb-preamble no
save ""
maxmemory-policy noeviction
daemonize no
loglevel warning
logfile ""
"""


class Flush(Enum):
    """When what was acknowledged is on the disk. A server that is killed loses nothing either way."""

    ALWAYS = "always"  # for messages: a loss of power takes none
    EVERY_SECOND = "everysec"  # for the gates' state: what must outlast it stands in the ledger


class Embedded:
    """One server's folder: who may run it, on which port, with which password.

    `claim`, then `prepare` before each start of `argv` with `lock` passed on, then `answers` until it is true;
    `release` when the server is gone.
    """

    def __init__(self, home: Path, program: Program | None = None, *, flush: Flush = Flush.ALWAYS) -> None:
        """Take the server's folder (made where it is missing); nothing is run or locked yet.

        Raises:
            EmbeddedError: no program is found, or it is too old for the data in the folder.
        """
        self.program = program or find_program()
        self.home = folder.make_private(home)
        self.home.chmod(folder.OWNER_ONLY_FOLDER)  # the server's own files have the process's mask
        if self.program.version < FIRST_WITH_FOLDER and (self.home / "appendonlydir").exists():
            raise EmbeddedError(
                f"{self.home} was written by a newer server than {self.program.path}, which would start empty"
            )
        self._flush = flush
        self._port, self._password = self._kept_endpoint()
        self._told = False
        self._owner: int | None = None
        self._lock: int | None = None

    @property
    def url(self) -> str:
        """``redis://:PASSWORD@127.0.0.1:PORT/0``, as any client of any language takes it."""
        return f"redis://:{self._password}@{LOOPBACK}:{self._port}/0"

    @property
    def argv(self) -> tuple[str, ...]:
        """What to run: a server that ends by `shut_down`. The password stands in the configuration file, never here."""
        return (sys.executable, "-IS", deaf.__file__, str(self.program.path), str(self._config))

    @property
    def lock(self) -> int:
        """The descriptor to pass on to the server: while it lives, no second server can be started on its data."""
        if self._lock is None:
            raise EmbeddedError(f"{self.home} has not been claimed")
        return self._lock

    @property
    def _config(self) -> Path:
        return self.home / "valkey.conf"

    @property
    def _endpoint(self) -> Path:
        return self.home / "endpoint.json"

    def claim(self, wait_s: float = 10.0) -> None:
        """Make this process the only one that runs a server here.

        A server whose owner was killed together with its guard is asked to end, and waited for.

        Raises:
            EmbeddedError: another process has it, or an orphan does not end within `wait_s` seconds.
        """
        if self._owner is not None:
            return
        owner = folder.take_lock(self.home / "owner.lock")
        if owner is None:
            raise EmbeddedError(f"another process runs the server in {self.home}")
        deadline = time.monotonic() + wait_s
        while (lock := folder.take_lock(self.home / "server.lock")) is None:
            self.shut_down()
            if time.monotonic() > deadline:
                os.close(owner)
                raise EmbeddedError(f"a server that nobody watches still runs in {self.home}: end it by hand")
            time.sleep(0.02)
        self._owner, self._lock = owner, lock

    def release(self) -> None:
        """Give the folder up. Safe to call twice."""
        for handle in (self._lock, self._owner):
            if handle is not None:
                os.close(handle)
        self._lock = self._owner = None

    def prepare(self) -> None:
        """Write the configuration for the next start: on the kept port where it is free, else on a new one.

        Once a server has answered here, clients know its URL: then the port stays, taken or not.

        Raises:
            OSError: no port is free, or the folder is not writable.
        """
        if not self._told and not is_free(self._port):
            self._port = pick_port()
        folder.write_private(self._endpoint, json.dumps({"port": self._port, "password": self._password}) + "\n")
        config = _CONFIG.format(
            host=LOOPBACK,
            port=self._port,
            password=self._password,
            folder=_quoted(str(self.home)),
            flush=self._flush.value,
        )
        folder.write_private(self._config, config)

    def answers(self) -> bool:
        """Whether the server takes commands now: it answers a PING and is not loading its data any more."""
        try:
            with self._client() as client:
                client.ping()
        except redis.RedisError:
            return False
        self._told = True
        return True

    def _client(self) -> redis.Redis:
        return redis.Redis(
            LOOPBACK,
            self._port,
            password=self._password,
            socket_timeout=1,
            socket_connect_timeout=1,
            retry=Retry(NoBackoff(), 0),
        )

    def shut_down(self) -> None:
        """Ask the server to end: it is deaf to signals, and its password shows that it is ours. Never raises."""
        # Everything that it acknowledged is on the disk.
        with contextlib.suppress(redis.RedisError), self._client() as client:
            client.execute_command("SHUTDOWN", "NOSAVE")

    def _kept_endpoint(self) -> tuple[int, str]:
        """Read port and password from the last start; a file that is missing or torn is made anew."""
        try:
            kept = json.loads(self._endpoint.read_text(encoding="utf-8"))
            port, password = int(kept["port"]), str(kept["password"])
        except (OSError, ValueError, KeyError, TypeError):
            return pick_port(), secrets.token_urlsafe(24)
        return port, password


@contextlib.contextmanager
def running(home: Path, program: Program | None = None, *, wait_s: float = 30.0) -> Iterator[str]:
    """Run a server in `home` for the time of a ``with`` block, and give its URL. Its data stays.

    It ends with this process, however that dies.

    Raises:
        EmbeddedError: no program, another process runs one here, or it took longer than `wait_s` seconds to answer.
    """
    server = Embedded(home, program)
    server.claim()
    leash = Leash()
    try:
        process = _start(server, leash, time.monotonic() + wait_s)
        try:
            yield server.url
        finally:
            server.shut_down()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
    finally:
        leash.release()
        server.release()


def _start(server: Embedded, leash: Leash, deadline: float) -> subprocess.Popen[bytes]:
    said = server.home / "server.log"
    for _ in range(3):  # another process may take the port between the look and the start
        server.prepare()
        with said.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603  # our own program, without a shell
                server.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(server.lock,),
                process_group=leash.group,
            )
        while process.poll() is None and time.monotonic() < deadline:
            if server.answers():
                return process
            time.sleep(0.01)
        process.kill()
        process.wait()
    why = said.read_text(encoding="utf-8", errors="replace")[-500:].strip()
    raise EmbeddedError(f"the server in {server.home} does not answer: {why}")


def _quoted(value: str) -> str:
    """Quote a value for the configuration file, where blanks part words and the backslash escapes."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

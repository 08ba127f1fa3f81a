"""The bench's own servers, each started when a trial first needs it, and all gone at the end."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from ops.bench.ledgers import fill, ledger_in
from ops.servers.postgresql import NoPostgresql, new_database, start_postgresql
from ops.servers.rabbitmq import NoRabbitmq, start_rabbitmq
from ops.servers.redis import NoRedis, start_redis
from tasks.ledger import Ledger

Place = Literal["rabbitmq", "embedded", "postgresql"]
# What each is, and the servers are durable: RabbitMQ writes a persistent message to disk before it confirms it, and
# Redis' append-only file is flushed each second, which is what its own documents advise.
PLACES: Final[dict[Place, str]] = {
    "rabbitmq": "RabbitMQ, SQLite",
    "embedded": "embedded Valkey, SQLite",
    "postgresql": "RabbitMQ, PostgreSQL",
}
_DURABLE_REDIS: Final = {"appendonly": "yes", "appendfsync": "everysec"}


class Missing(Exception):
    """A server or a library that a trial needs is not installed here."""


class Servers:
    """Servers by name; leave it, and they are gone."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._full: Ledger | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def runs(self, name: str) -> bool:
        """Whether a server was needed so far, and runs."""
        return name in self.__dict__

    @cached_property
    def rabbitmq(self) -> str:
        """The URL of a RabbitMQ, its default virtual host spelt so that every library takes it.

        Raises:
            Missing: there is none to start.
        """
        try:
            url, stop = start_rabbitmq()
        except NoRabbitmq as none:
            raise Missing(str(none)) from none
        self._stack.callback(stop)
        return f"{url.removesuffix('/')}%2F"

    @cached_property
    def redis(self) -> str:
        """The URL of a Redis, or of the wheel's Valkey where no Redis is installed, that keeps what it is given.

        Raises:
            Missing: there is none to start.
        """
        found = shutil.which("redis-server")
        try:
            url, stop = start_redis(program=Path(found) if found else None, more=_DURABLE_REDIS)
        except NoRedis as none:
            raise Missing(str(none)) from none
        self._stack.callback(stop)
        return url

    @cached_property
    def postgresql(self) -> str:
        """The URL of a PostgreSQL that writes to disk.

        Raises:
            Missing: there is none to start.
        """
        try:
            url, stop = start_postgresql(durable=True)
        except NoPostgresql as none:
            raise Missing(str(none)) from none
        self._stack.callback(stop)
        return url

    def full_ledger(self, leads: int) -> Ledger:
        """Give a SQLite ledger of so many ended leads, made when it is first asked for."""
        if self._full is None:
            folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="pingpost-bench-")))
            self._full = self._stack.enter_context(ledger_in(folder, "full"))
            fill(self._full, leads)
        return self._full

    def places(self, place: Place, stack: ExitStack) -> dict[str, str]:
        """Give pingpost's settings of broker and ledger; an empty database, where one is needed, until `stack` ends.

        Raises:
            Missing: see there.
        """
        if place == "embedded":
            return {}
        settings = {"PINGPOST_BROKER_URL": self.rabbitmq}
        if place == "postgresql":
            settings["PINGPOST_LEDGER_URL"] = stack.enter_context(new_database(self.postgresql))
        return settings

    def broker_of(self, peer: str) -> str:
        """Give the URL of the broker that a peer uses; none for the bare loop.

        Raises:
            Missing: see there.
        """
        brokers: dict[str, Callable[[], str]] = {"taskiq": lambda: self.redis, "bare": lambda: ""}
        return brokers.get(peer, lambda: self.rabbitmq)()

"""A connection that is kept: to open a transaction of SQLAlchemy's, or borrow from its pool, costs more than a read."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection


class Kept:
    """One connection, opened by `connect` when it is needed. Not safe under threads."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._connection: Connection | None = None

    def get(self) -> Connection:
        """Give the connection, a new one where the last was hung up or broke."""
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
        return self._connection

    def hang_up(self) -> None:
        """Let the connection go."""
        connection, self._connection = self._connection, None
        if connection is not None:
            # Not back into the pool: it waits for nobody, and whatever failed on it may still be open.
            connection.invalidate()
            connection.close()

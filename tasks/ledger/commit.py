"""Group commit: the writes of a process's threads share transactions, so that one flush to disk serves them all.

Whoever finds nobody committing commits everything that has been handed in (`tasks.together`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from tasks.ledger.engine import begin, commit, open_writer
from tasks.ledger.kept import Kept
from tasks.together import Together, Turn

T = TypeVar("T")
LARGEST_GROUP = 64
TRIES = 3
_BROKEN_OFF = frozenset({"40001", "40P01"})  # PostgreSQL ended the transaction in favour of another


_Write = Turn[Callable[[Connection], Any], Any]


class _Stage(Enum):
    """How far a transaction came."""

    BEGIN = auto()  # no statement of a write has run
    WORK = auto()  # nothing was committed
    COMMIT = auto()  # nobody knows whether it was


class GroupCommit:
    """Runs writes in shared transactions. Safe under threads; every write is all or nothing.

    One commits at a time, so that one connection is enough; it is kept.
    """

    def __init__(self, engine: Engine) -> None:
        self._kept = Kept(lambda: open_writer(engine))
        self._together: Together[Callable[[Connection], Any], Any] = Together(self._commit, LARGEST_GROUP)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction and return its result once that is committed.

        `work` may run more than once, each time in a transaction of its own: it must have no effect but its statements.

        Raises:
            SQLAlchemyError: nothing of this write was committed; or, where the connection was lost in the commit
                itself, nobody knows.
        """
        result: T = self._together.run(work)
        return result

    def soon(self, work: Callable[[Connection], object]) -> None:
        """Run `work` as `write` does, with the next write or in a moment. Nobody hears what comes of it."""
        self._together.soon(work)

    def close(self) -> None:
        """Write what nobody waits for, and let the connection go. A later write opens a new one."""
        self._together.flush()
        self._kept.hang_up()

    def _commit(self, group: Sequence[_Write]) -> None:
        for _ in range(TRIES):
            stage, fault = self._transact(group)
            if fault is None:
                return
            if stage is not _Stage.WORK or not _may_repeat(fault):
                break
        if stage is _Stage.WORK and len(group) > 1:
            # Whose fault it was shows when each runs alone.
            for write in group:
                self._commit([write])
            return
        for write in group:
            write.end(error=fault)

    def _transact(self, group: Sequence[_Write]) -> tuple[_Stage, Exception | None]:
        stage = _Stage.BEGIN
        try:
            connection = self._kept.get()
            begin(connection)
            stage = _Stage.WORK
            results = [write.item(connection) for write in group]
            stage = _Stage.COMMIT
            commit(connection)
        except Exception as fault:  # noqa: BLE001 - raised in the threads that asked
            self._kept.hang_up()
            return stage, fault
        except BaseException:
            self._kept.hang_up()
            raise
        for write, result in zip(group, results, strict=True):
            write.end(result)
        return stage, None


def _may_repeat(fault: Exception) -> bool:
    """Whether the fault was the connection's or a deadlock's, and not the write's own: nothing was committed."""
    if not isinstance(fault, DBAPIError):
        return False
    return fault.connection_invalidated or getattr(fault.orig, "sqlstate", None) in _BROKEN_OFF

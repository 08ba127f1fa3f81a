"""Group commit: the writes of a process's threads share transactions, so that one flush to disk serves them all.

Whoever comes first commits everything that has been handed in meanwhile; the others wait for it. No thread of its own,
no delay when nobody else writes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

T = TypeVar("T")
LARGEST_GROUP = 64
TRIES = 3


class _Write(Generic[T]):
    """One piece of work on its way into a transaction, then its result or its error."""

    def __init__(self, work: Callable[[Connection], T]) -> None:
        self.work = work
        self.done = False
        self.result: T | None = None
        self.error: BaseException | None = None


class GroupCommit:
    """Runs writes in shared transactions. Safe under threads; every write is all or nothing."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: list[_Write[Any]] = []
        self._door = threading.Lock()
        self._committing = threading.Lock()

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction and return its result once that is committed.

        `work` may run more than once, each time in a transaction of its own: it must have no effect but its statements.

        Raises:
            SQLAlchemyError: nothing of this write was committed.
        """
        mine = _Write(work)
        with self._door:
            self._waiting.append(mine)
        with self._committing:
            while not mine.done:
                with self._door:
                    group, self._waiting = self._waiting[:LARGEST_GROUP], self._waiting[LARGEST_GROUP:]
                self._commit(group)
        if mine.error is not None:
            raise mine.error
        return mine.result  # type: ignore[return-value]  # without an error there is a result

    def _commit(self, group: list[_Write[Any]]) -> None:
        if len(group) > 1 and self._together(group):
            return
        for write in group:
            self._alone(write)

    def _together(self, group: list[_Write[Any]]) -> bool:
        try:
            with self._engine.begin() as connection:
                results = [write.work(connection) for write in group]
        except Exception:  # noqa: BLE001 - whose fault it was shows when each runs alone, and is raised there
            return False
        for write, result in zip(group, results, strict=True):
            write.result, write.done = result, True
        return True

    def _alone(self, write: _Write[Any]) -> None:
        for last in (False,) * (TRIES - 1) + (True,):
            try:
                with self._engine.begin() as connection:
                    write.result = write.work(connection)
            except DBAPIError as fault:
                # A connection that the server closed, or a deadlock that it broke: nothing was committed. But a fault
                # of the commit itself may hide a commit, and that must be seen by whoever claimed.
                if last or not _may_repeat(fault):
                    write.error = fault
                    break
            except BaseException as fault:  # noqa: BLE001 - raised in the thread that asked
                write.error = fault
                break
            else:
                break
        write.done = True


def _may_repeat(fault: DBAPIError) -> bool:
    state = getattr(fault.orig, "sqlstate", None)
    if state in ("40001", "40P01"):
        return True
    # Before a statement has run there is nothing that could have been committed.
    return bool(fault.connection_invalidated and fault.statement is not None)

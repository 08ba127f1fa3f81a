"""Group commit: the writes of a process's threads share transactions, so that one flush to disk serves them all.

Whoever finds nobody committing commits everything that has been handed in, and then calls the first of those who came
meanwhile to do the same; each of the others is woken as soon as its own write is done. No thread of its own, no delay
when nobody else writes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Engine, RootTransaction
from sqlalchemy.exc import DBAPIError

from tasks.ledger.engine import open_writer

T = TypeVar("T")
LARGEST_GROUP = 64
TRIES = 3
_BROKEN_OFF = frozenset({"40001", "40P01"})  # PostgreSQL ended the transaction in favour of another


class _Stage(Enum):
    """How far a transaction came."""

    BEGIN = auto()  # no statement of a write has run
    WORK = auto()  # nothing was committed
    COMMIT = auto()  # nobody knows whether it was


class _Write(Generic[T]):
    """One piece of work on its way into a transaction, then its result or its error."""

    def __init__(self, work: Callable[[Connection], T]) -> None:
        self.work = work
        self.called = threading.Event()  # when it is done, or when its thread is to commit the next group
        self.done = False
        self.result: T | None = None
        self.error: BaseException | None = None

    def end(self, result: T | None = None, error: BaseException | None = None) -> None:
        self.result, self.error, self.done = result, error, True


class GroupCommit:
    """Runs writes in shared transactions. Safe under threads; every write is all or nothing.

    One commits at a time, so that one connection is enough; it is kept.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self._door = threading.Lock()
        self._waiting: list[_Write[Any]] = []
        self._busy = False  # somebody commits, or is called to; while nobody does, nobody waits

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction and return its result once that is committed.

        `work` may run more than once, each time in a transaction of its own: it must have no effect but its statements.

        Raises:
            SQLAlchemyError: nothing of this write was committed; or, where the connection was lost in the commit
                itself, nobody knows.
        """
        mine = _Write(work)
        with self._door:
            self._waiting.append(mine)
            first, self._busy = not self._busy, True
        if not first:
            self._wait(mine)
        if not mine.done:
            self._lead()
        if mine.error is not None:
            raise mine.error
        return mine.result  # type: ignore[return-value]  # without an error there is a result

    def close(self) -> None:
        """Let the connection go. A later write opens a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            # Not back into the pool: it waits for nobody, and whatever failed on it may still be open.
            connection.invalidate()
            connection.close()

    def _wait(self, mine: _Write[Any]) -> None:
        try:
            mine.called.wait()
        except BaseException:
            # Ctrl-C. Whoever leaves must not take the others' turn along.
            with self._door:
                if mine in self._waiting:
                    self._waiting.remove(mine)
                    if mine.called.is_set():
                        self._call_next()
            raise

    def _lead(self) -> None:
        with self._door:
            group, self._waiting = self._waiting[:LARGEST_GROUP], self._waiting[LARGEST_GROUP:]
        try:
            self._commit(group)
        except BaseException as fault:  # Ctrl-C in the midst of it: nobody may wait for ever
            for write in group:
                if not write.done:
                    write.end(error=fault)
            raise
        finally:
            with self._door:
                self._call_next()
            for write in group:
                write.called.set()

    def _call_next(self) -> None:
        self._busy = bool(self._waiting)
        if self._busy:
            self._waiting[0].called.set()

    def _commit(self, group: list[_Write[Any]]) -> None:
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

    def _transact(self, group: list[_Write[Any]]) -> tuple[_Stage, Exception | None]:
        stage = _Stage.BEGIN
        try:
            if self._connection is None or self._connection.closed:
                self._connection = open_writer(self._engine)
            connection = self._connection
            with connection.begin() as transaction:
                stage = _Stage.WORK
                results = [write.work(connection) for write in group]
                stage = _Stage.COMMIT
                _end(connection, transaction)
        except Exception as fault:  # noqa: BLE001 - raised in the threads that asked
            self.close()
            return stage, fault
        except BaseException:
            self.close()
            raise
        for write, result in zip(group, results, strict=True):
            write.end(result)
        return stage, None


def _end(connection: Connection, transaction: RootTransaction) -> None:
    try:
        transaction.commit()
    except BaseException:
        # SQLAlchemy counts a transaction as ended when its COMMIT failed. In SQLite it may still be open, and back in
        # the pool it would lock all writers out: only a closed connection has certainly let go.
        connection.invalidate()
        raise


def _may_repeat(fault: Exception) -> bool:
    """Whether the fault was the connection's or a deadlock's, and not the write's own: nothing was committed."""
    if not isinstance(fault, DBAPIError):
        return False
    return fault.connection_invalidated or getattr(fault.orig, "sqlstate", None) in _BROKEN_OFF

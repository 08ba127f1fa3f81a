"""Connections to the ledger's database, and its durability.

SQLite: WAL with ``synchronous=FULL``, so that a committed claim outlives a loss of power. PostgreSQL:
``synchronous_commit=on``, for the same.
"""

from __future__ import annotations

import random
import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import Connection, make_url

from tasks.ledger.prepared import told

BUSY_MS = 10_000
CONNECT_S = 5


def open_engine(url: str) -> Engine:
    """Open the database at `url` (``sqlite:///…`` or ``postgresql+psycopg://…``). Nothing is connected yet."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(url, parsed.database)
    return create_engine(
        url,
        pool_size=4,
        max_overflow=64,
        pool_pre_ping=False,
        hide_parameters=True,
        connect_args={
            "connect_timeout": CONNECT_S,
            "options": "-c synchronous_commit=on -c lock_timeout=10s -c statement_timeout=30s",
        },
    )


def _sqlite(url: str, database: str | None) -> Engine:
    if database and database != ":memory:":
        Path(database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url,
        pool_size=4,
        max_overflow=64,
        hide_parameters=True,
        connect_args={"timeout": BUSY_MS / 1000, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        # The driver's own transactions begin too late for a reader that becomes a writer: ours begin below.
        connection.isolation_level = None
        # Deleted means overwritten: a row that moves within its page leaves no copy of its caller behind.
        settings = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON")
        for pragma in (*settings, f"busy_timeout={BUSY_MS}"):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if options.get("reads"):
            connection.exec_driver_sql("BEGIN")
        elif not options.get("writes"):
            _wait_at_most(connection, 0)
            try:
                _begin_write(connection)
            finally:
                _wait_at_most(connection, BUSY_MS)

    return engine


def open_writer(engine: Engine) -> Connection:
    """Open a connection that does nothing but write, in the transactions of `begin` and `commit`.

    To SQLAlchemy they are all one, which never ends: its own beginnings and ends cost more than the database's.
    """
    connection = engine.connect().execution_options(writes=True)
    if is_sqlite(engine):
        _wait_at_most(connection, 0)
    connection.begin()
    return connection


def begin(connection: Connection) -> None:
    """Begin a transaction on a writer's connection.

    Raises:
        DBAPIError: the database may not be written now.
    """
    if connection.dialect.name == "sqlite":  # elsewhere, the driver does with the first statement
        _begin_write(connection)


def commit(connection: Connection) -> None:
    """Commit what was done since `begin`.

    Raises:
        DBAPIError: nobody knows whether it was committed. The connection must be let go: a transaction of SQLite's may
            still be open, and would lock all writers out.
    """
    raw: Any = connection.connection.driver_connection
    dialect: Any = connection.dialect
    try:
        raw.commit()
    except dialect.loaded_dbapi.Error as fault:
        raise told(connection, "COMMIT", fault) from fault


def open_reader(engine: Engine) -> Connection:
    """Open a connection for reads of a single statement, each of which sees what is committed."""
    connection = engine.connect()
    return connection if is_sqlite(engine) else connection.execution_options(isolation_level="AUTOCOMMIT")


def _wait_at_most(connection: Connection, ms: int) -> None:
    raw: Any = connection.connection.dbapi_connection
    raw.execute(f"PRAGMA busy_timeout={ms}").close()


def _begin_write(connection: Connection) -> None:
    """Wait for SQLite's one place to write in, at most `BUSY_MS`.

    SQLite's own wait sleeps up to 100 ms between its looks, so that a process with bad luck is overtaken again and
    again: with three writing processes of eight threads one write in a hundred took 0.7 s. Looking every millisecond
    makes that 0.1 s.
    """
    raw: Any = connection.connection.dbapi_connection
    given_up = time.monotonic() + BUSY_MS / 1000
    while time.monotonic() < given_up:
        try:
            raw.execute("BEGIN IMMEDIATE").close()
        except sqlite3.OperationalError as fault:
            if fault.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                break
            time.sleep(random.uniform(0.5, 1.5) / 1000)  # noqa: S311 - no secret, only out of step
        else:
            return
    # Once more through SQLAlchemy, whose error our callers know.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def empty_the_log(engine: Engine) -> None:
    """Write SQLite's log into its file and cut it to nothing, unless somebody is in the way: then the next one does."""
    raw: Any = engine.raw_connection()
    try:
        raw.execute("PRAGMA busy_timeout=0").close()
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
    finally:
        raw.execute(f"PRAGMA busy_timeout={BUSY_MS}").close()
        raw.close()


def is_sqlite(engine: Engine) -> bool:
    """Whether the database is a file of SQLite's."""
    return engine.dialect.name == "sqlite"

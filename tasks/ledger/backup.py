"""A copy of a SQLite ledger, and what a ledger needs that was restored from a copy.

PostgreSQL has its own tools for the copy (ops/runbook.md, Backup and restore); `abandon` is for both.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from sqlalchemy import Connection, select, text, update

from tasks.core.outcome import Outcome
from tasks.core.states import State
from tasks.ledger.clock import now_ms
from tasks.ledger.rows import LeadRow, lead_row, to_ms
from tasks.ledger.schema import leads

OWNER_ONLY = 0o600
_BESIDE = ("-wal", "-shm")  # what belongs to a file of SQLite's


class BadCopy(Exception):
    """A file that is no whole ledger. The text says why."""


def copy(database: Path, target: Path) -> None:
    """Copy a ledger that may be in use, as it stands at one moment, to a file that only its owner reads.

    Whole or not at all, and on the disk when this returns. Nobody who writes is kept waiting.

    Raises:
        FileExistsError: `target` is there already.
        sqlite3.Error, OSError: it cannot be read or written; nothing is left at `target`.
    """
    if target.exists():
        raise FileExistsError(f"{target} is there already")
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, OWNER_ONLY))
    try:
        source = sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)
        try:
            # One read of one moment, which unlike SQLite's backup call need not begin again when somebody writes.
            source.execute("VACUUM INTO ?", (str(draft),))
        finally:
            source.close()
        check(draft)
        flush(draft)
        draft.rename(target)
        flush(target.parent)
    finally:
        draft.unlink(missing_ok=True)


def check(file: Path) -> None:
    """See that a file is a whole ledger.

    Raises:
        BadCopy: it is not.
    """
    try:
        found = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)
        try:
            (health,) = found.execute("PRAGMA integrity_check(1)").fetchone()
            version = found.execute("SELECT version_num FROM alembic_version").fetchone()
        finally:
            found.close()
    except sqlite3.Error as fault:
        raise BadCopy(f"{file} is no ledger: {fault}") from None
    if health != "ok" or version is None:
        raise BadCopy(f"{file} is no whole ledger: {health}")


@contextmanager
def in_the_place_of(database: Path, file: Path, *, aside: str) -> Iterator[Path]:
    """Put a copy where the ledger is to be. What stood there is kept, with `aside` after its name.

    Gives the draft, on which whatever a restored ledger needs is done before it takes the place: in one step, so that
    after a crash at any moment the old ledger stands there, or the new one, ready. Nobody may have either open.

    Raises:
        BadCopy: `file` is no whole ledger; nothing was changed.
        OSError, sqlite3.Error: the disk is full or the folder is not ours; what stood there, stands there still.
    """
    check(file)
    database.parent.mkdir(parents=True, exist_ok=True)
    draft = database.with_name(f".{database.name}.restored")
    _remove(draft)
    try:
        copy(file, draft)
        yield draft
        _settle(draft)
        if database.exists():
            _settle(database)
            # What a broken ledger cannot take in from its log is kept beside it.
            for suffix in ("", *_BESIDE):
                if (old := database.with_name(database.name + suffix)).exists():
                    os.link(old, database.with_name(f"{database.name}{aside}{suffix}"))
        # A log of the old ledger beside the new one would be read into it.
        for suffix in _BESIDE:
            database.with_name(database.name + suffix).unlink(missing_ok=True)
        draft.replace(database)
        flush(database.parent)
    finally:
        _remove(draft)


def _settle(database: Path) -> None:
    """Take a ledger's log into its file, as far as that can be done."""
    with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    flush(database)


def _remove(draft: Path) -> None:
    for suffix in ("", ".lock", *_BESIDE):
        draft.with_name(draft.name + suffix).unlink(missing_ok=True)


def others(connection: Connection) -> int:
    """Count who else is connected to a PostgreSQL ledger."""
    asked = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    number: int = connection.execute(asked).scalar_one()
    return number


def open_leads(connection: Connection, limit: int) -> list[LeadRow]:
    """Read leads that have no outcome, the oldest first."""
    found = select(*leads.c, now_ms().label("now")).where(leads.c.status.is_(None))
    return [lead_row(row) for row in connection.execute(found.order_by(leads.c.due_at).limit(limit))]


def abandon(connection: Connection, ends: Sequence[Outcome]) -> None:
    """End leads of a restored ledger as `unknown`, wherever they stood.

    The one move outside the table of states: a copy's `received` says nothing of now, and the lead may have been sold.
    """
    for outcome in ends:
        values = {
            "state": State.UNKNOWN.value,
            "status": outcome.status.value,
            "reason": outcome.reason,
            "outcome": json.dumps(outcome.message(), separators=(",", ":")),
            "ended_at": to_ms(outcome.at),
        }
        standing = update(leads).where(leads.c.lead_id == outcome.lead_id, leads.c.status.is_(None))
        connection.execute(standing.values(epoch=leads.c.epoch + 1, changed_at=now_ms(), due_at=now_ms(), **values))


def flush(path: Path) -> None:
    """Have a file, or what a folder lists, on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

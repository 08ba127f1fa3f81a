"""A copy of a SQLite ledger, and what a ledger needs that was restored from a copy.

PostgreSQL has its own tools for the copy (ops/runbook.md, Backup and restore); `abandon` is for both.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Connection, select, text, update

from tasks.core.outcome import Outcome
from tasks.core.states import State
from tasks.ledger.clock import now_ms
from tasks.ledger.rows import LeadRow, lead_row, to_ms
from tasks.ledger.schema import leads

OWNER_ONLY = 0o600
_BESIDE = ("", "-wal", "-shm")  # a file of SQLite's and what belongs to it


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
        _flush(draft)
        draft.rename(target)
        _flush(target.parent)
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


def put_in_place(file: Path, database: Path, *, beside: str) -> list[Path]:
    """Put a copy where the ledger is to be. What stood there is kept: its files get `beside` after their names.

    Nobody may have the ledger open.

    Returns:
        The files that are kept.

    Raises:
        BadCopy: `file` is no whole ledger; nothing was changed.
        OSError, sqlite3.Error: the disk is full or the folder is not ours; what stood there, stands there still.
    """
    check(file)
    database.parent.mkdir(parents=True, exist_ok=True)
    draft = database.with_name(f".{database.name}.restored")
    draft.unlink(missing_ok=True)
    copy(file, draft)
    kept = []
    # The log with its ledger: a log of the old one beside the new one would be read into it.
    for suffix in _BESIDE:
        old = database.with_name(database.name + suffix)
        if old.exists():
            kept.append(old.rename(old.with_name(f"{database.name}{beside}{suffix}")))
    draft.rename(database)
    _flush(database.parent)
    return kept


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


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

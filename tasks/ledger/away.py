"""Which errors mean that the ledger is away, and not that one row is wrong."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError, SQLAlchemyError, StatementError

from tasks.ledger.version import SchemaTooOld

LONGEST_REASON = 200


def is_away(fault: BaseException) -> bool:
    """Whether an error is the database's state, which time or an operator mends, and not one row's content."""
    if isinstance(fault, DBAPIError):
        return fault.connection_invalidated or not isinstance(fault, DataError | IntegrityError)
    return isinstance(fault, SQLAlchemyError) and not isinstance(fault, StatementError)


def keeps_from_writing(fault: BaseException) -> bool:
    """Whether an error is of a ledger that can still be read: its disk is full, or it is open for reading alone."""
    cause = getattr(fault, "orig", None)
    if isinstance(cause, sqlite3.Error):
        return (getattr(cause, "sqlite_errorcode", 0) or 0) & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY)
    return getattr(cause, "sqlstate", None) in ("53100", "25006")  # disk_full, read_only_sql_transaction


def why_away(fault: Exception) -> str | None:
    """Say how the ledger is away; None where the error says nothing of the kind.

    An operational error has the database's own words, which an operator needs ("database or disk is full"), and no
    row's content; of any other error only the class is told.
    """
    if not is_away(fault):
        return None
    if isinstance(fault, OperationalError):
        words = str(fault.orig).strip().partition("\n")[0]
        return f"{type(fault.orig).__name__}: {words}"[:LONGEST_REASON]
    return str(fault) if isinstance(fault, SchemaTooOld) else type(fault).__name__

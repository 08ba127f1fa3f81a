"""Which form the ledger's tables have, and whether this code can work on them.

Migrations only add (`ops/adr/0005-migrations-only-add.md`), so code works on tables that are newer than itself, and a
rolling upgrade runs old workers beside new ones.
"""

from __future__ import annotations

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import SQLAlchemyError

NEEDED = "0004"  # the newest of `migrations/versions`; looked up there it would cost each start an import of Alembic


class SchemaTooOld(SQLAlchemyError):
    """The tables lack what this code needs. Ends as soon as somebody migrates."""


def version(connection: Connection) -> str | None:
    """Give the tables' version; None: there are none."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def require(found: str | None) -> None:
    """See that tables of this version have all that this code needs.

    Raises:
        SchemaTooOld: they have not; says what to do.
    """
    if found is None or found < NEEDED:
        held = "no tables" if found is None else f"tables of version {found}"
        raise SchemaTooOld(f"it has {held}, {NEEDED} is needed: run `pingpost migrate`")

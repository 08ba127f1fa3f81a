"""Bring a ledger's tables to the newest form. Safe when several processes start at once, and while leads are sold."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from tasks.ledger.engine import is_sqlite, open_engine
from tasks.ledger.version import version

MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x70696E67  # "ping": one number for all who migrate this product's tables
# A change of a table that waits for a long reader makes all others wait behind it: it waits shortly, and often.
TABLE_LOCK_S = 2.0
TRIES = 30
PAUSE_S = 1.0


def migrate(url: str, migrations: Path = MIGRATIONS) -> None:
    """Create or upgrade the tables at `url`. Tables that are newer than this code are left as they are.

    Raises:
        SQLAlchemyError: the database cannot be reached or refuses, or a reader kept a table for longer than a minute;
            nothing was changed.
    """
    # Every process reads the ledger, and hardly any brings it up: Alembic is a tenth of a start.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    def upgrade() -> None:
        with _alone(engine) as connection:
            config = Config()
            config.set_main_option("script_location", str(migrations))
            config.attributes["connection"] = connection
            found = version(connection)
            known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
            if found is None or found in known:
                command.upgrade(config, "head")

    engine = open_engine(url)
    try:
        for _ in range(TRIES - 1):
            try:
                return upgrade()
            except OperationalError as fault:
                if not _is_kept_waiting(fault):
                    raise
            time.sleep(PAUSE_S)
        upgrade()
    finally:
        engine.dispose()


def _is_kept_waiting(fault: OperationalError) -> bool:
    return getattr(fault.orig, "sqlstate", None) == "55P03"  # lock_not_available


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    if not is_sqlite(engine):
        with engine.begin() as connection:
            # Whoever waits here waits for a migration, which takes its time; nobody else waits behind him.
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            connection.execute(text(f"SET LOCAL lock_timeout = '{TABLE_LOCK_S:.0f}s'"))
            yield connection
        return
    # SQLite's own lock would do, but a change of journal mode beside it waits for nobody.
    beside = Path(f"{engine.url.database}.lock")
    beside.parent.mkdir(parents=True, exist_ok=True)
    with beside.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with engine.begin() as connection:
            yield connection

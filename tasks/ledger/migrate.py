"""Bring a ledger's tables to the newest form. Safe when several processes start at once."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, text

from tasks.ledger.engine import is_sqlite, open_engine

_LOCK = 0x70696E67  # "ping": one number for all who migrate this product's tables


def migrate(url: str) -> None:
    """Create or upgrade the tables at `url`.

    Raises:
        SQLAlchemyError: the database cannot be reached or refuses.
    """
    # Every process reads the ledger, and hardly any brings it up: Alembic is a tenth of a start.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    engine = open_engine(url)
    try:
        with _alone(engine) as connection:
            config = Config()
            config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    if not is_sqlite(engine):
        with engine.begin() as connection:
            # Whoever waits here waits for a migration, which takes its time.
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            yield connection
        return
    # SQLite's own lock would do, but a change of journal mode beside it waits for nobody.
    beside = Path(f"{engine.url.database}.lock")
    beside.parent.mkdir(parents=True, exist_ok=True)
    with beside.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with engine.begin() as connection:
            yield connection

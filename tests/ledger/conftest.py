"""One suite, two databases: what asks for `ledger` runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from ops.servers.postgresql import new_database
from tasks.ledger import Ledger, migrate
from tasks.ledger.schema import metadata

DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite ledger without leads, to be copied: migrating one takes longer than most tests."""
    path = tmp_path_factory.mktemp("ledger") / "empty.sqlite3"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql_url: str) -> Iterator[str]:
    """A PostgreSQL ledger, emptied before each test."""
    with new_database(postgresql_url) as url:
        migrate(url)
        yield url


@pytest.fixture(params=DATABASES)
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A ledger's URL, with its tables and without leads."""
    if request.param == "sqlite":
        path = tmp_path / "ledger.sqlite3"
        shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
        return f"sqlite:///{path}"
    url: str = request.getfixturevalue("migrated_postgresql")
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {', '.join(metadata.tables)} RESTART IDENTITY"))
    engine.dispose()
    return url


@pytest.fixture(params=DATABASES)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database's URL, without tables; the SQLite file does not exist yet, nor does its folder."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'folder' / 'ledger.sqlite3'}"
        return
    with new_database(request.getfixturevalue("postgresql_url")) as url:
        yield url


@pytest.fixture
def open_ledger(ledger_url: str) -> Iterator[Callable[[], Ledger]]:
    """Opens the ledger once more, as another process would: with connections and a group commit of its own."""
    with ExitStack() as opened:

        def opener() -> Ledger:
            ledger = Ledger.open(ledger_url)
            opened.callback(ledger.close)
            return ledger

        yield opener


@pytest.fixture
def ledger(open_ledger: Callable[[], Ledger]) -> Ledger:
    """A ledger without leads."""
    return open_ledger()

"""Connections: durable where money stands on them, and patient with a busy database."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from tasks.ledger import Ledger, LedgerError, engine
from tests.ledger.stories import arrival, standing

on_sqlite = pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
FULL = 2


@pytest.fixture
def foreigner(ledger_url: str) -> sqlite3.Connection:
    """Somebody else's connection to the SQLite file, from any thread."""
    path = make_url(ledger_url).database
    assert path is not None
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)


@on_sqlite
def test_sqlite_writes_ahead_and_flushes_every_commit(ledger: Ledger):
    def pragma(name: str) -> object:
        return ledger.read(lambda c: c.exec_driver_sql(f"PRAGMA {name}").scalar_one())

    assert pragma("journal_mode") == "wal"
    assert pragma("synchronous") == FULL
    assert pragma("foreign_keys") == 1
    ledger.accept([arrival()])
    with ledger.engine.begin() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one() == engine.BUSY_MS


@on_sqlite
def test_a_write_waits_for_another_process_s_transaction(ledger: Ledger, foreigner: sqlite3.Connection):
    foreigner.execute("BEGIN IMMEDIATE")
    waiting = threading.Thread(target=ledger.accept, args=([arrival()],), daemon=True)
    waiting.start()
    assert ledger.lead("L1") is None, "a read waits for nobody"
    foreigner.execute("COMMIT")
    waiting.join(engine.BUSY_MS / 1000)
    assert not waiting.is_alive()
    assert standing(ledger).lead_id == "L1"
    foreigner.close()


@on_sqlite
def test_a_database_that_stays_busy_is_a_ledger_error_and_nothing_is_written(
    ledger: Ledger, foreigner: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(engine, "BUSY_MS", 50)
    foreigner.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerError, match="locked"):
        ledger.accept([arrival()])
    foreigner.execute("COMMIT")
    assert ledger.lead("L1") is None
    ledger.accept([arrival()])
    assert standing(ledger).lead_id == "L1"
    foreigner.close()


@on_sqlite
def test_a_lead_that_does_not_exist_can_have_no_attempts(ledger: Ledger):
    orphan = "INSERT INTO replies (lead_id, medium, address, replayed) VALUES ('nobody', 'queue', 'r', 0)"
    with pytest.raises(LedgerError, match="FOREIGN KEY"), ledger.engine.begin() as connection:
        connection.exec_driver_sql(orphan)


@pytest.mark.postgresql
@on_postgresql
def test_postgresql_flushes_every_commit_and_waits_for_locks_only_so_long(ledger: Ledger):
    def setting(name: str) -> object:
        return ledger.read(lambda c: c.execute(text(f"SHOW {name}")).scalar_one())

    assert setting("synchronous_commit") == "on"
    assert setting("lock_timeout") == "10s"
    assert setting("statement_timeout") == "30s"


def test_an_error_never_shows_what_was_written(open_ledger: Callable[[], Ledger]):
    broken = open_ledger()
    with broken.engine.begin() as connection:
        connection.execute(text("ALTER TABLE leads RENAME TO gone"))
    try:
        with pytest.raises(LedgerError) as caught:
            broken.accept([arrival()])
        assert "Zebulon" not in str(caught.value)
    finally:
        with broken.engine.begin() as connection:
            connection.execute(text("ALTER TABLE gone RENAME TO leads"))


def test_a_ledger_that_cannot_be_reached_is_a_ledger_error():
    ledger = Ledger.open("postgresql+psycopg://nobody@127.0.0.1:1/none")
    with pytest.raises(OperationalError):
        ledger.accept([arrival()])
    with pytest.raises(LedgerError):
        ledger.lead("L1")
    ledger.close()

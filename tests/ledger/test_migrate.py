"""Migrations: from nothing, twice, and from many processes at once; the head is what the code says."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import event, inspect

import tasks.ledger
from tasks.ledger import Ledger, migrate
from tasks.ledger.engine import open_engine
from tasks.ledger.schema import metadata
from tests.ledger.stories import arrival, standing

FOLDER = Path(tasks.ledger.__file__).parent / "migrations"


def head() -> str | None:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    return ScriptDirectory.from_config(config).get_current_head()


def revision(url: str) -> str | None:
    engine = open_engine(url)
    with engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    engine.dispose()
    return found


def test_an_empty_database_gets_its_tables_and_takes_leads_in(empty_url: str):
    migrate(empty_url)
    assert revision(empty_url) == head()
    ledger = Ledger.open(empty_url)
    ledger.accept([arrival()])
    assert standing(ledger).lead_id == "L1"
    ledger.close()


def test_migrating_twice_changes_nothing(empty_url: str):
    migrate(empty_url)
    ledger = Ledger.open(empty_url)
    ledger.accept([arrival()])
    migrate(empty_url)
    assert standing(ledger).lead_id == "L1"
    ledger.close()


def test_the_head_of_the_migrations_is_what_the_schema_says(ledger_url: str):
    engine = open_engine(ledger_url)
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection, {"compare_type": True}), metadata)
    engine.dispose()
    assert differences == []


def test_a_migration_can_be_taken_back(empty_url: str):
    migrate(empty_url)
    engine = open_engine(empty_url)
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    with engine.connect() as connection:
        assert set(inspect(connection).get_table_names()) == {"alembic_version"}
    engine.dispose()


def test_eight_processes_may_start_at_once(empty_url: str):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=migrate, args=(empty_url,)) for _ in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(90)
    assert [process.exitcode for process in processes] == [0] * 8
    assert revision(empty_url) == head()


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_the_sweep_finds_what_it_looks_for_by_indexes(ledger_url: str):
    queries = []
    ledger = Ledger.open(ledger_url)
    assert ledger.lead("nobody") is None  # what its first read asks beside it is behind us

    @event.listens_for(ledger.engine, "before_cursor_execute")
    def remember(_connection, _cursor, statement, parameters, *_rest):
        queries.append((statement, parameters))

    ledger.standing_still(message_ms=1, call_ms=1, limit=10)
    ledger.untold(older_than_ms=1, limit=10)
    event.remove(ledger.engine, "before_cursor_execute", remember)
    selects = [(statement, parameters) for statement, parameters in queries if statement.startswith("SELECT")]
    with ledger.engine.connect() as connection:
        plans = [str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values).all()) for sql, values in selects]
    ledger.close()
    for plan, index in zip(plans, ("ix_leads_open", "ix_leads_untold", "ix_replies_untold"), strict=True):
        assert index in plan, plan

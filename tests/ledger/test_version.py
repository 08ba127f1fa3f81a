"""Code and tables of different versions: older tables are waited for, newer ones are worked on and left alone."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from tasks.core.states import State
from tasks.ledger import Ledger, LedgerError, migrate
from tasks.ledger.engine import open_engine
from tasks.ledger.migrate import MIGRATIONS
from tasks.ledger.version import NEEDED, version
from tests.ledger.next_migration import NEXT, next_migrations
from tests.ledger.stories import arrival, bring, standing


def version_of(url: str) -> str | None:
    engine = open_engine(url)
    with engine.connect() as connection:
        found = version(connection)
    engine.dispose()
    return found


def test_what_is_needed_is_the_newest_migration():
    """A migration without its number in the code would leave old workers running on tables that they break on."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == NEEDED


def test_without_tables_the_ledger_is_away_and_says_what_to_do_and_comes_back_with_them(empty_url: str):
    """A worker that starts before the migration waits, and goes on by itself."""
    ledger = Ledger.open(empty_url)
    with capture_logs() as lines:
        for _ in range(2):
            with pytest.raises(LedgerError, match="run `pingpost migrate`"):
                ledger.accept([arrival()])
        migrate(empty_url)
        ledger.accept([arrival()])
    assert standing(ledger).state is State.RECEIVED
    assert [line["event"] for line in lines] == ["ledger.away", "ledger.back"]
    assert "run `pingpost migrate`" in lines[0]["reason"]
    ledger.close()


def test_on_older_tables_nothing_is_accepted(empty_url: str):
    """Half of what the code needs is not enough."""
    migrate(empty_url)
    engine = open_engine(empty_url)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
    engine.dispose()
    ledger = Ledger.open(empty_url)
    with pytest.raises(LedgerError, match="tables of version 0001"):
        ledger.accept([arrival()])
    ledger.close()


def test_on_newer_tables_old_code_goes_on_and_leaves_them_alone(empty_url: str, tmp_path: Path):
    """A rolling upgrade, or one that is taken back: old processes live on, and start, beside new tables."""
    migrate(empty_url)
    running = Ledger.open(empty_url)
    running.accept([arrival("L1")])
    migrate(empty_url, next_migrations(tmp_path, NEEDED))
    migrate(empty_url)
    started = Ledger.open(empty_url)
    started.accept([arrival("L2")])
    running.accept([arrival("L3")])
    assert {standing(running, name).state for name in ("L1", "L2", "L3")} == {State.RECEIVED}
    bring(started, State.BID, "L4")
    running.close()
    started.close()
    assert version_of(empty_url) == NEXT


@pytest.mark.postgresql
@pytest.mark.parametrize("empty_url", ["postgresql"], indirect=True)
def test_a_migration_behind_a_long_reader_holds_up_nobody_and_changes_nothing(
    empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """It gives up after its tries, leaving the tables as they were; leads are taken in between them."""
    migrate(empty_url)
    ledger = Ledger.open(empty_url)
    following = next_migrations(tmp_path, NEEDED)
    waits: list[int] = []

    def between(_pause_s: float) -> None:
        waits.append(len(waits))
        ledger.accept([arrival(f"during-{len(waits)}")])

    module = importlib.import_module("tasks.ledger.migrate")  # the package's own name for it is the function's
    monkeypatch.setattr(module, "TRIES", 3)
    monkeypatch.setattr(module, "TABLE_LOCK_S", 1.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(sleep=between))
    reader = open_engine(empty_url)
    with reader.connect() as long:
        long.execute(text("SELECT count(*) FROM leads"))
        with pytest.raises(OperationalError, match="lock timeout"):
            migrate(empty_url, following)
    assert len(waits) == 2
    with reader.connect() as connection:
        assert "campaign" not in {column["name"] for column in inspect(connection).get_columns("leads")}
    reader.dispose()
    assert version_of(empty_url) == NEEDED
    migrate(empty_url, following)
    assert standing(ledger, "during-2").state is State.RECEIVED
    ledger.close()
    assert version_of(empty_url) == NEXT

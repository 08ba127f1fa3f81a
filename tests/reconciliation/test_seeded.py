"""A statement with seeded faults of every kind: every fault found, none invented, and unknown leads settled by it."""

from __future__ import annotations

import csv
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from ops.servers.postgresql import new_database
from tasks.core.reconciliation import Kind
from tasks.ledger import Ledger, migrate
from tasks.ledger.schema import leads
from tests.reconciliation.seeding import WRONG, Seeded, seed
from workers.cli import main

PERIOD = ("--since", "2024-10-30", "--until", "2024-11-05")
Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `pingpost reconcile` on a ledger."""

    def runner(ledger: Ledger, *arguments: str) -> Result:
        url = ledger.engine.url.render_as_string(hide_password=False)
        monkeypatch.setenv("PINGPOST_LEDGER_URL", url)
        return CliRunner().invoke(main, ["reconcile", *arguments], catch_exceptions=False)

    return runner


@contextmanager
def a_ledger(url: str) -> Iterator[Ledger]:
    migrate(url)
    ledger = Ledger.open(url)
    try:
        yield ledger
    finally:
        ledger.close()


def rows_of(ledger: Ledger) -> list[Any]:
    return ledger.read(lambda connection: list(connection.execute(select(leads).order_by(leads.c.lead_id))))


def check(ledger: Ledger, seeded: Seeded, statement: Path, run: Run) -> None:
    """See that the faults are found, with the statement's own period and with a given one; then settle, twice."""
    before = rows_of(ledger)
    table = statement.with_name("differences.csv")
    first = run(ledger, str(statement), "--json", "--csv", str(table))
    assert first.exit_code == 1, first.output
    told = json.loads(first.stdout)
    assert seeded.found(told["findings"]) == seeded.faults
    assert (told["since"], told["until"]) == (PERIOD[1], PERIOD[3])
    assert told["statement"]["rows"] == len(seeded.whose)
    with table.open(newline="", encoding="utf-8") as file:
        written = [
            {name: int(cell) if name == "line" and cell else cell for name, cell in row.items()}
            for row in csv.DictReader(file)
        ]
    assert seeded.found(written) == seeded.faults

    settled = json.loads(run(ledger, str(statement), "--json", "--settle", *PERIOD).stdout)
    assert seeded.found(settled["findings"]) == seeded.faults
    assert settled["settled"] == {"sold": seeded.settled_sold, "not_sold": seeded.settled_not_sold}

    again = json.loads(run(ledger, str(statement), "--json", "--settle", *PERIOD).stdout)
    unknown = [(kind, story) for kind, story in seeded.faults if kind == Kind.UNKNOWN_SOLD]
    assert seeded.found(again["findings"]) == seeded.faults - Counter(unknown)
    assert again["settled"] == {"sold": 0, "not_sold": 0}
    assert rows_of(ledger) == before, "no outcome was touched"


def test_in_ten_thousand_leads_every_fault_is_found_and_none_invented(tmp_path: Path, run: Run) -> None:
    """Twenty of each case, among leads that agree in every way in which they can."""
    statement = tmp_path / "statement.csv"
    with a_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite3'}") as ledger:
        seeded = seed(ledger, statement, leads=10_000, each=20, chance=random.Random(20261123))
        assert seeded.leads >= 10_000
        assert {kind for kind, _ in seeded.faults} == set(Kind)
        assert seeded.faults.total() == 20 * sum(len(case.faults) for case in WRONG)
        check(ledger, seeded, statement, run)


@pytest.mark.postgresql
def test_so_it_is_on_postgresql(postgresql_url: str, tmp_path: Path, run: Run) -> None:
    statement = tmp_path / "statement.csv"
    with new_database(postgresql_url) as url, a_ledger(url) as ledger:
        seeded = seed(ledger, statement, leads=1_000, each=3, chance=random.Random(20261124))
        check(ledger, seeded, statement, run)


@pytest.mark.parametrize("number", range(4))
def test_so_it_is_whatever_comes_together(tmp_path: Path, run: Run, number: int) -> None:
    """Few leads, so that the edges of days and of the file are among them."""
    statement = tmp_path / "statement.csv"
    with a_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite3'}") as ledger:
        seeded = seed(ledger, statement, leads=90, each=1, chance=random.Random(number))
        check(ledger, seeded, statement, run)

"""A ledger in a data folder, and commands that are pointed at it by the environment alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tasks.ledger import Ledger, migrate
from workers.cli import main
from workers.places import ledger_default

Run = Callable[..., Result]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own PINGPOST_DATA in an own working directory, and no other setting."""
    for name in [name for name in os.environ if name.startswith("PINGPOST_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data"
    monkeypatch.setenv("PINGPOST_DATA", str(folder))
    monkeypatch.setenv("COLUMNS", "220")
    return folder


@pytest.fixture
def ledger(data: Path) -> Iterator[Ledger]:
    """The ledger of that folder, without leads."""
    migrate(ledger_default(data))
    opened = Ledger.open(ledger_default(data))
    yield opened
    opened.close()


@pytest.fixture
def run() -> Run:
    """Runs `pingpost` with arguments; what a command prints is in `.stdout` and `.stderr`."""

    def runner(*arguments: str) -> Result:
        return CliRunner().invoke(main, arguments, catch_exceptions=False)

    return runner

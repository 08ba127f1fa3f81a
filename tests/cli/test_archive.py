"""`pingpost archive`: a file of what was said about old leads, whole before anything leaves the ledger."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from sqlalchemy import update

from tasks.core.protocol import Call
from tasks.core.states import State
from tasks.ledger import Ledger
from tasks.ledger.schema import attempts
from tests.ledger.stories import SALE, age, attempts_of, bring, exchange, sold

Run = Callable[..., Result]
DAY_MS = 86_400_000


def old(ledger: Ledger, lead_id: str, days: int = 91) -> None:
    mine = bring(ledger, State.POSTING, lead_id)
    _, untold = ledger.end(mine, exchange(Call.POST, SALE), sold(mine))
    assert untold
    ledger.mark_told(untold)
    age(ledger, days * DAY_MS, "ended_at", "received_at", "deadline_at", lead_id=lead_id)
    with ledger.engine.begin() as connection:
        theirs = update(attempts).where(attempts.c.lead_id == lead_id)
        connection.execute(theirs.values(at=attempts.c.at - days * DAY_MS))


def test_they_stand_in_a_file_for_its_owner_and_the_lead_says_so(ledger: Ledger, run: Run, tmp_path: Path):
    for number in reversed(range(450)):
        old(ledger, f"L{number}", days=91 + number)
    old(ledger, "young", days=3)
    file = tmp_path / "old.jsonl"

    done = run("archive", str(file))

    assert (done.exit_code, done.stdout) == (0, f"{file}: 900 exchanges of 450 leads\n")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["lead_id"] for line in lines] == [f"L{number}" for number in reversed(range(450))]
    assert {tuple(attempt["call"] for attempt in line["attempts"]) for line in lines} == {("ping", "post")}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "its exchanges are not in the ledger: archived" in run("lead", "L0").stdout
    assert "archived" not in run("lead", "young").stdout


def test_where_nothing_is_old_there_is_no_file(ledger: Ledger, run: Run, tmp_path: Path):
    old(ledger, "L1", days=89)
    done = run("archive", str(tmp_path / "old.jsonl"))
    assert (done.exit_code, done.stdout) == (0, "no exchange of a lead that ended 90 days ago or earlier\n")
    assert not (tmp_path / "old.jsonl").exists()
    assert run("archive", str(tmp_path / "old.jsonl"), "--days", "88").exit_code == 0


def test_a_file_that_is_there_is_left_alone(ledger: Ledger, run: Run, tmp_path: Path):
    old(ledger, "L1")
    (tmp_path / "old.jsonl").write_text("mine")
    done = run("archive", str(tmp_path / "old.jsonl"))
    assert (done.exit_code, done.stdout) == (1, "")
    assert "is there already" in done.stderr
    assert (tmp_path / "old.jsonl").read_text() == "mine"
    assert len(attempts_of(ledger)) == 2


def test_what_does_not_reach_the_disk_stays_in_the_ledger(
    ledger: Ledger, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    old(ledger, "L1")
    monkeypatch.setattr("workers.cli.archive.os.fsync", full)
    done = run("archive", str(tmp_path / "old.jsonl"))
    assert done.exit_code == 1
    assert done.stderr == f"pingpost archive: {tmp_path / 'old.jsonl'}: No space left on device\n"
    assert len(attempts_of(ledger)) == 2


def test_without_a_ledger_no_file_is_left(data: Path, run: Run, tmp_path: Path):
    done = run("archive", str(tmp_path / "old.jsonl"))
    assert done.exit_code == 1
    assert not (tmp_path / "old.jsonl").exists()

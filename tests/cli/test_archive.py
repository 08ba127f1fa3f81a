"""`pingpost archive`: a file of what was said about old leads, whole before anything leaves the ledger."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tasks.ledger import Ledger
from tests.ledger.stories import attempts_of, sold_days_ago

Run = Callable[..., Result]


def test_they_stand_in_a_file_for_its_owner_and_the_lead_says_so(ledger: Ledger, run: Run, tmp_path: Path):
    for number in reversed(range(450)):
        sold_days_ago(ledger, f"L{number}", days=91 + number)
    sold_days_ago(ledger, "young", days=3)
    file = tmp_path / "old.jsonl"

    done = run("archive", str(file))

    assert (done.exit_code, done.stdout) == (0, f"{file}: 900 attempts of 450 leads\n")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["lead_id"] for line in lines] == [f"L{number}" for number in reversed(range(450))]
    assert {tuple(attempt["call"] for attempt in line["attempts"]) for line in lines} == {("ping", "post")}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "its attempts are not in the ledger: archived" in run("lead", "L0").stdout
    assert "archived" not in run("lead", "young").stdout


def test_where_nothing_is_old_there_is_no_file(ledger: Ledger, run: Run, tmp_path: Path):
    sold_days_ago(ledger, "L1", days=89)
    done = run("archive", str(tmp_path / "old.jsonl"))
    assert (done.exit_code, done.stdout) == (0, "no attempt of a lead that ended 90 days ago or earlier\n")
    assert not (tmp_path / "old.jsonl").exists()
    assert run("archive", str(tmp_path / "old.jsonl"), "--days", "88").exit_code == 0


def test_a_file_that_is_there_is_left_alone(ledger: Ledger, run: Run, tmp_path: Path):
    sold_days_ago(ledger, "L1")
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

    sold_days_ago(ledger, "L1")
    monkeypatch.setattr("workers.cli.archive.os.fsync", full)
    done = run("archive", str(tmp_path / "old.jsonl"))
    assert done.exit_code == 1
    assert done.stderr == f"pingpost archive: {tmp_path / 'old.jsonl'}: No space left on device\n"
    assert len(attempts_of(ledger)) == 2


def test_without_a_ledger_no_file_is_left(data: Path, run: Run, tmp_path: Path):
    done = run("archive", str(tmp_path / "old.jsonl"))
    assert done.exit_code == 1
    assert not (tmp_path / "old.jsonl").exists()

"""Heartbeats, and the two commands that containers run beside the parts: `pingpost health`, `pingpost migrate`."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import inspect
from structlog.testing import capture_logs

from tasks.ledger.engine import open_engine
from workers import health
from workers.cli import main


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder, in an environment and a working folder that name nothing else."""
    for name in [name for name in os.environ if name.startswith("PINGPOST_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data"
    monkeypatch.setenv("PINGPOST_DATA", str(folder))
    return folder


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def age(data: Path, part: str, by_s: float) -> None:
    path = data / "health" / part
    before = time.time() - by_s
    os.utime(path, (before, before))


def test_a_part_that_was_never_heard_of_is_not_alive(data: Path):
    result = run("health", "intake")
    assert result.exit_code == 1
    assert "never heard of" in result.output


def test_a_part_is_alive_until_its_heartbeat_is_too_old(data: Path):
    health.touch(data, "intake")
    assert run("health", "intake").exit_code == 0
    age(data, "intake", by_s=20)
    assert run("health", "intake").exit_code == 1
    assert run("health", "intake", "--within", "60").exit_code == 0


def test_one_live_worker_of_several_is_enough(data: Path):
    health.touch(data, "worker-ping@a")
    health.touch(data, "worker-post@a")
    age(data, "worker-ping@a", by_s=100)
    assert run("health", "worker").exit_code == 0
    assert run("health", "worker-ping@a").exit_code == 1


def test_one_part_does_not_speak_for_another(data: Path):
    health.touch(data, "beat")
    assert run("health", "bea").exit_code == 1
    assert run("health", "intake").exit_code == 1


def test_a_script_can_read_the_answer(data: Path):
    health.touch(data, "beat")
    told: dict[str, Any] = json.loads(run("health", "beat", "--json").output)
    assert told["part"] == "beat"
    assert told["alive"] is True
    assert told["age_s"] >= 0


@pytest.mark.parametrize("name", ["../beat", "", "a/b", "*"])
def test_a_name_that_leads_elsewhere_is_refused(data: Path, name: str):
    assert run("health", name).exit_code == 2
    with pytest.raises(ValueError, match="no name of a part"):
        health.touch(data, name)


def test_bad_settings_are_told_by_their_name(data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PINGPOST_DEADLINE_S", "soon")
    for command in (["health", "beat"], ["migrate"]):
        result = run(*command)
        assert result.exit_code == 2
        assert "PINGPOST_DEADLINE_S" in result.output


def test_a_second_touch_within_a_second_writes_nothing(data: Path):
    health.touch(data, "intake")
    age(data, "intake", by_s=50)
    health.touch(data, "intake")
    known = health.age_s(data, "intake")
    assert known is not None
    assert known > 40


def test_a_touch_after_a_second_counts_again(data: Path, monkeypatch: pytest.MonkeyPatch):
    health.touch(data, "intake")
    age(data, "intake", by_s=50)
    later = time.monotonic() + health.EVERY_S
    monkeypatch.setattr(health.time, "monotonic", lambda: later)
    health.touch(data, "intake")
    known = health.age_s(data, "intake")
    assert known is not None
    assert known < 40


def test_a_folder_that_cannot_be_written_stops_nothing_and_is_said(data: Path):
    data.write_text("a file where the folder should be")
    with capture_logs() as lines:
        health.touch(data, "intake")
    assert [(line["event"], line["part"]) for line in lines] == [("health.unwritten", "intake")]


def test_migrating_makes_the_tables_and_may_be_repeated(data: Path):
    for _ in range(2):
        result = run("migrate")
        assert result.exit_code == 0, result.output
    engine = open_engine(f"sqlite:///{data / 'ledger.sqlite3'}")
    try:
        assert {"leads", "attempts"} <= set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


def test_a_database_that_is_not_there_is_told_without_its_password(data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PINGPOST_LEDGER_URL", "postgresql+psycopg://pingpost:hushhush@127.0.0.1:1/pingpost")
    result = run("migrate")
    assert result.exit_code == 1
    assert "127.0.0.1:1" in result.output
    assert "hushhush" not in result.output

"""The systemd unit: systemd itself finds it well, and what it starts comes up and goes down as it says."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from ops.sandbox import Sandbox
from tests.integration.installation import KEY, Log, wait_for
from tests.servers.need import missing
from workers.cli.up import ALREADY_UP, BAD_SETTINGS
from workers.lineup import Choice, lineup
from workers.places import Places
from workers.settings import Settings

UNIT = Path(__file__).resolve().parents[2] / "ops" / "systemd" / "pingpost.service"
PROGRAM = "/opt/pingpost/bin/pingpost"


@pytest.fixture
def unit() -> dict[str, list[str]]:
    """The unit's settings, each with all its values in order."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in UNIT.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found[name].append(value)
    return found


def test_systemd_finds_nothing_wrong_with_it(tmp_path: Path):
    """`systemd-analyze verify` knows every setting and every value."""
    if shutil.which("systemd-analyze") is None:
        missing("no systemd-analyze")
    here = tmp_path / "pingpost.service"
    here.write_text(UNIT.read_text().replace(PROGRAM, sys.executable).replace("User=pingpost", "User=nobody"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", here],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"},
    )
    said = [line for line in (done.stdout + done.stderr).splitlines() if "pingpost.service" in line]
    assert said == []


def test_what_it_starts_comes_up_by_its_environment_and_ends_cleanly(unit: dict[str, list[str]], tmp_path: Path):
    """The command by hand, with the unit's own variables; the key from a file, as systemd hands it on."""
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "buyer_key").write_text(KEY + "\n")
    variables = dict(variable.split("=", 1) for variable in unit["Environment"])
    variables = {
        name: value.replace("%d", str(tmp_path / "credentials")).replace("/var/lib/pingpost", str(tmp_path / "data"))
        for name, value in variables.items()
    }
    program, *arguments = shlex.split(unit["ExecStart"][0])
    assert program == PROGRAM
    with Sandbox() as buyer, (tmp_path / "log").open("wb") as out:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PINGPOST_")},
            "PINGPOST_PARTNER_ID": "XYZ",
            **buyer.environment(),
            **variables,
        }
        argv = [sys.executable, "-m", "workers.cli", *arguments, "--no-flower"]
        process = subprocess.Popen(argv, env=environment, cwd=tmp_path, stdout=out, stderr=subprocess.STDOUT)
        try:
            log = Log(tmp_path / "log")
            wait_for(lambda: [line for line in log.lines() if line["event"] == "up.ready"], 60, log.text)
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert KEY not in log.text()


def test_a_stop_has_the_time_that_the_parts_have(unit: dict[str, list[str]], tmp_path: Path):
    """Were systemd less patient than `up` itself, a worker that holds a sale would be killed."""
    places = Places("redis://h", "redis://h", "sqlite://")
    ranks: dict[int, float] = {}
    for part in lineup(Settings(data=tmp_path), places, Choice(flower_port=1)):
        ranks[part.stop_rank] = max(ranks.get(part.stop_rank, 0), part.grace_s)
    assert float(unit["TimeoutStopSec"][0]) > sum(ranks.values()) + 10
    assert unit["KillMode"] == ["mixed"]


def test_bad_settings_are_not_tried_again(unit: dict[str, list[str]]):
    assert {int(code) for code in unit["RestartPreventExitStatus"][0].split()} == {BAD_SETTINGS, ALREADY_UP}

"""`pingpost bench` as it is typed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

BENCH = [sys.executable, "-m", "workers.cli", "bench"]


def _bench(*arguments, cwd):
    return subprocess.run([*BENCH, *arguments], capture_output=True, text=True, timeout=100, cwd=cwd, check=False)


def test_a_row_is_really_measured(tmp_path):
    """On the embedded broker: both forms of pingpost and the bare loop, with a hundred leads each."""
    files = ["--save", "run.json", "--html", "run.html"]
    done = _bench("cpu", "--on", "embedded", "--rounds", "1", "--leads", "100", *files, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "cpu" in done.stdout
    kept = json.loads((tmp_path / "run.json").read_text())
    (row,) = kept["rows"]
    assert row["low"] == row["median"] == row["high"] > 0
    assert kept["machine"]["stub answers a second"] > 0
    assert "bare on rabbitmq" in kept["figures"]
    assert "<svg" in (tmp_path / "run.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["no-such-row"], 2, "no row no-such-row; there are chain, run-on"),
        (["cpu", "--baseline", "absent.json"], 1, "no baseline"),
        (["cpu", "--rounds", "0"], 2, "--rounds"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(tmp_path, arguments, code, says):
    done = _bench(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr

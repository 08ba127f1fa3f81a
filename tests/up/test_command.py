"""`pingpost up` as an operator calls it: what it refuses, and with which exit code."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from workers import folder

GOOD = {
    "PINGPOST_PARTNER_ID": "XYZ",
    "PINGPOST_KEY": "a-live-key-of-the-buyer",
    "PINGPOST_PING_URL": "http://127.0.0.1:1/ping",
    "PINGPOST_POST_URL": "http://127.0.0.1:1/post",
}


@pytest.fixture
def call(tmp_path):
    """Call `pingpost up` with these settings and arguments, and give its exit code and what it says."""

    def run(*arguments, **variables):
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PINGPOST_")}
        environment |= {"PINGPOST_DATA": str(tmp_path / "data"), **GOOD, **variables}
        done = subprocess.run(
            [sys.executable, "-m", "workers.cli", "up", *arguments],
            env={key: value for key, value in environment.items() if value},
            cwd=tmp_path,
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.returncode, done.stderr, done.stdout

    return run


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PINGPOST_PARTNER_ID", ""),
        ("PINGPOST_KEY", ""),
        ("PINGPOST_POST_URL", ""),
        ("PINGPOST_PING_URL", "ftp://buyer"),
        ("PINGPOST_BROKER_URL", "kafka://here"),
        ("PINGPOST_DEADLINE_S", "soon"),
        ("PINGPOST_ZIPLIST", "no-such-file.csv"),
        ("PINGPOST_SUBID", "match"),
        ("FLOWER_READ_ONLY", "perhaps"),
        ("FLOWER_BASIC_AUTH_FILE", "no-such-file"),
    ],
)
def test_bad_settings_stop_a_start_with_one_line_that_names_the_variable(call, tmp_path, variable, value):
    """Bad settings stop a start with exit code 2 and one line that names the variable; nothing was started or made."""
    code, said, logged = call("--plain", **{variable: value})
    assert (code, logged) == (2, "")
    assert said.startswith(f"pingpost up: {variable}: ")
    assert said.count("\n") == 1
    assert GOOD["PINGPOST_KEY"] not in said
    assert not (tmp_path / "data").exists()


def test_a_flower_port_that_was_asked_for_and_is_taken_is_refused(call):
    """A port that was asked for and is taken is a bad argument, and the line says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said, logged = call("--plain", "--flower-port", str(port))
    assert (code, logged) == (2, "")
    assert said == f"pingpost up: --flower-port: {port} is taken on 127.0.0.1; 0 picks a free one\n"


def test_a_second_up_says_so_in_one_line(call, tmp_path):
    """A second up of the same folder ends with exit code 3 and one clear line."""
    (tmp_path / "data").mkdir()
    lock = folder.take_lock(tmp_path / "data" / "up.lock")
    code, said, _ = call("--plain", "--flower-port", "0")
    os.close(lock)
    assert (code, said) == (3, f"pingpost up: another `pingpost up` runs on {(tmp_path / 'data').resolve()}\n")


def test_a_ledger_that_cannot_be_used_ends_it_with_one_line(call):
    """A database that is not there ends the start with exit code 1 and names the variable, without its password."""
    url = "postgresql+psycopg://me:s3cret@127.0.0.1:1/pingpost?connect_timeout=2"
    code, said, logged = call("--plain", "--no-flower", PINGPOST_LEDGER_URL=url, PINGPOST_BROKER_URL="redis://h")
    assert code == 1
    assert said.startswith("pingpost up: PINGPOST_LEDGER_URL: postgresql+psycopg://me:***@127.0.0.1:1/pingpost")
    assert "s3cret" not in said + logged


def test_help_tells_the_exit_codes(call):
    """The help tells every exit code."""
    code, _, said = call("--help")
    assert code == 0
    for line in ("0  stopped cleanly", "1  a part does not start", "2  bad settings", "3  another `pingpost up`"):
        assert line in said

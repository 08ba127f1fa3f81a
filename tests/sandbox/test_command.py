"""`pingpost sandbox` as an operator starts, stops and kills it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import requests
from click.testing import CliRunner

from workers.cli.sandbox import command

START = "from workers.cli.sandbox import command; command()"
Started = tuple["subprocess.Popen[str]", dict[str, str]]


@pytest.fixture
def start() -> Iterator[Callable[..., Started]]:
    """Starts the command in a process of its own, and returns it with the settings that it printed."""
    with ExitStack() as stack:

        def started(*options: object) -> Started:
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", START, "--json", *map(str, options)],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(process.kill)
            return process, json.loads(process.stdout.readline())

        yield started


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_what_it_prints_and_stops_cleanly(start, ping_fields, number):
    """Exit code 0, and not a word about what was sent."""
    process, settings = start("--scenario", "demo")
    assert set(settings) == {f"PINGPOST_{call}_URL" for call in ("PING", "POST", "ONE_STEP", "DIRECT_POST")}
    assert requests.post(settings["PINGPOST_PING_URL"], data=ping_fields, timeout=10).json()["price"] == "12.50"
    process.send_signal(number)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "", "")


def test_killed_it_has_lost_no_sale(start, post_fields, tmp_path):
    """The next one on the same file knows them all."""
    book = tmp_path / "book.jsonl"
    process, settings = start("--book", book)
    for number in range(20):
        fields = {**post_fields, "customid": f"lead-{number}"}
        assert requests.post(settings["PINGPOST_ONE_STEP_URL"], data=fields, timeout=10).ok
    process.kill()
    process.wait(timeout=10)
    _, settings = start("--book", book)
    base = settings["PINGPOST_PING_URL"].removesuffix("/ping")
    sales = requests.get(f"{base}/_sandbox/book", timeout=10).json()["sales"]
    assert [sale["customid"] for sale in sales] == [f"lead-{number}" for number in range(20)]


def test_without_json_it_prints_lines_for_an_environment_file(start):
    """NAME=value, and nothing else on standard output: all that a new installation needs."""
    with subprocess.Popen(
        [sys.executable, "-c", START], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        lines = [process.stdout.readline().strip() for _ in range(6)]
        process.terminate()
        rest = process.stdout.read()
    assert [line.partition("=")[0] for line in lines] == [
        "PINGPOST_PING_URL",
        "PINGPOST_POST_URL",
        "PINGPOST_ONE_STEP_URL",
        "PINGPOST_DIRECT_POST_URL",
        "PINGPOST_PARTNER_ID",
        "PINGPOST_KEY",
    ]
    assert (process.returncode, rest) == (0, "")


def test_a_wrong_scenario_is_a_usage_error_that_names_the_key(tmp_path):
    """Exit code 2."""
    path = tmp_path / "scenario.toml"
    path.write_text("price = 9.5\n", encoding="utf-8")
    result = CliRunner().invoke(command, ["--scenario", str(path)])
    assert result.exit_code == 2
    assert "price: " in result.output


def test_a_port_that_is_taken_is_exit_code_1(sandbox):
    """With one line that says so."""
    port = sandbox().url.rpartition(":")[2]
    result = CliRunner().invoke(command, ["--port", port])
    assert result.exit_code == 1
    assert "cannot run the sandbox" in result.output


def test_a_book_that_cannot_be_written_is_exit_code_1(tmp_path):
    """Before anything is served."""
    result = CliRunner().invoke(command, ["--book", str(tmp_path / "nowhere" / "book.jsonl")])
    assert result.exit_code == 1


def test_help_tells_the_exit_codes():
    """As every command's does."""
    assert "Exit codes:" in CliRunner().invoke(command, ["--help"]).output

"""``pingpost intake``, as a process: what the supervisor and an operator see of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ops.servers.waiting import wait_until
from tasks.ledger import Ledger
from tests.frontdoor.house import lead
from tests.frontdoor.test_calls import SOLD_AT, kept, report
from tests.frontdoor.wire import AmqpWire, Wire
from tests.ledger.books import ended, put

ARGV = [sys.executable, "-m", "workers.cli", "intake"]
BUYER = {
    "PINGPOST_PARTNER_ID": "XYZ",
    "PINGPOST_KEY": "771f5924706521c7",
    "PINGPOST_PING_URL": "http://127.0.0.1:9/ping",
    "PINGPOST_POST_URL": "http://127.0.0.1:9/post",
}


@pytest.fixture
def environment(wire: Wire, redis_url: str, ledger_url: str, tmp_path: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PINGPOST_")}
    places = {
        "PINGPOST_BROKER_URL": wire.url,
        "PINGPOST_STATE_URL": redis_url,
        "PINGPOST_LEDGER_URL": ledger_url,
        "PINGPOST_DATA": str(tmp_path / "data"),
    }
    return inherited | places | BUYER | {"PYTHONUNBUFFERED": "1"}


def test_the_command_starts_the_chain_of_a_lead_and_ends_when_it_is_asked(
    wire: Wire, environment: dict[str, str], tmp_path: Path
) -> None:
    with subprocess.Popen(ARGV, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as intake:
        assert intake.stdout is not None
        try:
            events = (json.loads(line)["event"] for line in intake.stdout)
            assert next(event for event in events if event == "intake.ready")
            wire.send(lead("C-1", firstname="Johnny"))
            (ping,) = wire.read("ping")
            intake.send_signal(signal.SIGTERM)
            assert intake.wait(20) == 0
        finally:
            intake.kill()
    arguments, _, embedded = ping.json
    assert arguments == ["C-1"]
    assert [link["task"] for link in embedded["chain"]] == ["post"]
    assert b"Johnny" not in ping.body
    assert "Johnny" not in repr(ping.headers)


def test_the_command_reads_calls_beside_leads(
    wire: Wire, environment: dict[str, str], ledger: Ledger, tmp_path: Path
) -> None:
    """Both are taken by one process, and it ends when it is asked."""
    put(ledger, ended("A", at=SOLD_AT))
    wire.send(report("A"), to="calls")
    wire.send(lead("C-1"))
    with subprocess.Popen(ARGV, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL) as intake:
        try:
            assert wait_until(lambda: bool(kept(ledger) and ledger.lead("C-1")), within_s=30, every_s=0.05)
            intake.send_signal(signal.SIGTERM)
            assert intake.wait(20) == 0
        finally:
            intake.kill()
    assert kept(ledger) == [("A", "due", None, True)]
    assert (tmp_path / "data/health/calls").exists()


@pytest.mark.parametrize("missing", ["PINGPOST_PARTNER_ID", "PINGPOST_POST_URL"])
def test_a_setting_that_is_missing_is_named_with_exit_code_2(
    amqp_wire: AmqpWire, redis_url: str, ledger_url: str, tmp_path: Path, missing: str
) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("PINGPOST_")} | BUYER
    env |= {"PINGPOST_BROKER_URL": amqp_wire.url, "PINGPOST_STATE_URL": redis_url, "PINGPOST_LEDGER_URL": ledger_url}
    del env[missing]
    done = subprocess.run(ARGV, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert missing in done.stderr
    assert "Traceback" not in done.stderr

"""The real `pingpost up`, with every part of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from urllib.parse import urlsplit

import psutil
import pytest
import redis

from tests.declared import undeclared

SETTINGS = {
    "PINGPOST_PARTNER_ID": "XYZ",
    "PINGPOST_KEY": "a-live-key-of-the-buyer",
    "PINGPOST_PING_URL": "http://127.0.0.1:1/ping",
    "PINGPOST_POST_URL": "http://127.0.0.1:1/post",
}
PARTS = {"broker", "intake", "ping1", "post1", "beat", "flower"}


class Up:
    """A `pingpost up --plain` and what it has said."""

    def __init__(self, data):
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PINGPOST_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "workers.cli", "up", "--plain", "--flower-port", "0"],
            env={**environment, **SETTINGS, "PINGPOST_DATA": str(data)},
            cwd=data.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said = []
        for line in self.process.stdout:
            self.said.append(json.loads(line))
            assert undeclared(self.said[-1]) == []
            if self.said[-1]["event"] == "up.ready":
                break
        else:
            raise AssertionError(f"not ready: {self.said[-20:]}; {self.process.stderr.read()}")
        self.ready = self.said[-1]

    def pids(self):
        return {child.pid for child in psutil.Process(self.process.pid).children(recursive=True)}

    def end(self, number):
        self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=90)
        self.said += [json.loads(line) for line in rest.splitlines()]
        assert [fault for line in self.said for fault in undeclared(line)] == []
        return self.process.returncode


@pytest.fixture
def up(tmp_path):
    running = Up(tmp_path / "data")
    yield running
    running.process.kill()
    running.process.communicate()


def test_everything_comes_up_and_ends_cleanly(up, tmp_path, alive):
    """Every part is ready, Flower answers on loopback, only JSON is said, and SIGTERM ends all of it with 0."""
    assert {line["part"] for line in up.said if line["event"] == "part.started"} == PARTS
    broker = (tmp_path / "data" / "broker-url").read_text().strip()
    with redis.Redis.from_url(broker) as client:
        assert client.ping()
    with urllib.request.urlopen(up.ready["flower"] + "/healthcheck", timeout=10) as answer:
        assert answer.status == 200
    secrets = (urlsplit(broker).password, SETTINGS["PINGPOST_KEY"])
    pids = up.pids()
    shown = " ".join(word for pid in pids for word in psutil.Process(pid).cmdline())
    listening = {
        connection.laddr.ip
        for pid in pids
        for connection in psutil.Process(pid).net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}

    assert up.end(signal.SIGTERM) == 0
    stopped = [line["part"] for line in up.said if line["event"] == "part.stopped"]
    assert set(stopped) == PARTS
    assert (stopped[0], stopped[1], stopped[-2], stopped[-1]) == ("intake", "beat", "flower", "broker")
    assert not any(alive(pid) for pid in pids)
    assert not any(line["event"] == "part.died" for line in up.said)
    for secret in secrets:
        assert secret not in shown + json.dumps(up.said)


def test_every_part_dies_with_an_up_that_is_killed(up, eventually, alive):
    """SIGKILL leaves nothing behind."""
    pids = up.pids()
    assert len(pids) >= len(PARTS)
    up.end(signal.SIGKILL)
    eventually(lambda: not any(alive(pid) for pid in pids), "the parts' death")

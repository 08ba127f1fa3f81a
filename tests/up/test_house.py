"""One run of everything on a machine: up, told, found by others, and down again, however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import redis

from tests.declared import undeclared
from workers import settings
from workers.places import resolve
from workers.settings import SettingsError

FAKE_UP = Path(__file__).parent / "fake_up.py"
OURS = ("up.", "part.")  # the other lines are the made-up parts'


def ping(url):
    with redis.Redis.from_url(url) as client:
        return client.ping()


class Up:
    """A fake up in a process of its own, and what it has said so far."""

    def __init__(self, data, *arguments, **variables):
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PINGPOST_")}
        self.process = subprocess.Popen(
            [sys.executable, str(FAKE_UP), *arguments],
            env={**environment, "PINGPOST_DATA": str(data), **variables},
            cwd=data.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said = []

    def until(self, event):
        """Read on to the line of this event, and give it."""
        for line in self.process.stdout:
            self.said.append(json.loads(line))
            assert not self.said[-1]["event"].startswith(OURS) or undeclared(self.said[-1]) == []
            if self.said[-1]["event"] == event:
                return self.said[-1]
        raise AssertionError(f"no {event} in {self.said}; {self.process.stderr.read()}")

    def end(self, number=signal.SIGTERM):
        """Signal it, read to its end, and give the exit code."""
        self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=60)
        self.said += [json.loads(line) for line in rest.splitlines()]
        return self.process.returncode

    def pids(self):
        return [line["pid"] for line in self.said if line["event"] == "part.started"]


@pytest.fixture
def start(tmp_path):
    ups = []

    def start_one(*arguments, **variables):
        ups.append(Up(tmp_path / "data", *arguments, **variables))
        return ups[-1]

    yield start_one
    for up in ups:
        up.process.kill()
        up.process.communicate()


@pytest.fixture
def found(tmp_path, monkeypatch):
    """What a command in another process finds of this data folder."""
    for name in [name for name in os.environ if name.startswith("PINGPOST_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PINGPOST_DATA", str(tmp_path / "data"))
    return lambda: resolve(settings.load(_env_file=None))


def test_it_comes_up_is_found_and_ends_cleanly(start, found, tmp_path, alive):
    """Everything comes up, commands find it, parts have the URLs, and SIGTERM ends it with 0 in the right order."""
    up = start()
    ready = up.until("up.ready")
    places = found()
    assert ping(places.broker_url)
    assert (tmp_path / "data" / "broker-url").read_text().strip() == places.broker_url
    told = next(line["told"] for line in up.said if line["event"] == "worker.ready")
    assert told.items() >= places.environment().items()
    assert urlsplit(places.broker_url).password not in json.dumps(ready)
    assert ready["ledger"] == f"sqlite:///{(tmp_path / 'data').resolve()}/ledger.sqlite3"
    assert (tmp_path / "data" / "ledger.sqlite3").is_file()

    assert up.end() == 0
    stopped = [line["part"] for line in up.said if line["event"] == "part.stopped"]
    assert stopped == ["intake", "beat", "worker", "broker"]
    assert not any(alive(pid) for pid in up.pids())
    assert not (tmp_path / "data" / "broker-url").exists()
    with pytest.raises(SettingsError, match="PINGPOST_BROKER_URL"):
        found()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_ctrl_c_and_a_closed_terminal_stop_it_as_well(start, number):
    """SIGINT and SIGHUP are clean stops too."""
    up = start()
    up.until("up.ready")
    assert up.end(number) == 0


def test_in_the_background_of_a_script_it_still_heeds_sigint_and_under_nohup_it_outlives_its_terminal(start):
    """Started with both ignored, as a script's background job under nohup is: SIGHUP does nothing, SIGINT stops it."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGHUP)}
    try:
        up = start()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    up.until("up.ready")
    up.process.send_signal(signal.SIGHUP)
    os.kill(up.pids()[0], signal.SIGKILL)  # it is still there to start this one again
    assert up.until("part.died")["part"] == "broker"
    up.until("part.started")
    assert up.end(signal.SIGINT) == 0


def test_a_stop_before_it_is_ready_is_clean(start, alive):
    """A stop that comes while parts are still starting leaves nothing behind."""
    up = start()
    up.until("part.started")
    assert up.end() == 0
    assert not any(alive(pid) for pid in up.pids())


def test_its_parts_die_with_it_when_it_is_killed(start, found, tmp_path, eventually, alive):
    """SIGKILL takes every part along; what it left behind is not believed; the next up has the same URL and data."""
    up = start()
    up.until("up.ready")
    places = found()
    with redis.Redis.from_url(places.broker_url) as client:
        client.lpush("leads", "one")
    pids = [*up.pids(), *(child.pid for child in psutil.Process(up.process.pid).children(recursive=True))]
    assert len(set(pids)) == 5  # three parts, the broker and the guard
    up.end(signal.SIGKILL)
    eventually(lambda: not any(alive(pid) for pid in pids), "the parts' death")
    assert (tmp_path / "data" / "broker-url").exists()
    with pytest.raises(SettingsError, match="PINGPOST_BROKER_URL"):
        found()

    again = start()
    again.until("up.ready")
    assert found() == places
    with redis.Redis.from_url(places.broker_url) as client:
        assert client.llen("leads") == 1
    assert again.end() == 0


def test_a_killed_broker_comes_back_at_the_same_url_with_its_data(start, found):
    """The broker is a part as well: killed, it is started again where clients know it to be."""
    up = start()
    up.until("up.ready")
    url = found().broker_url
    with redis.Redis.from_url(url) as client:
        client.lpush("leads", "one")
    broker = next(line["pid"] for line in up.said if line["event"] == "part.started" and line["part"] == "broker")
    os.kill(broker, signal.SIGKILL)
    assert up.until("part.died")["part"] == "broker"
    up.until("part.started")
    assert found().broker_url == url
    assert up.end() == 0


def test_a_second_up_on_the_same_folder_refuses(start, found):
    """A second up refuses, and the first is not disturbed."""
    up = start()
    up.until("up.ready")
    assert start().process.wait(60) == 3
    assert ping(found().broker_url)
    assert up.end() == 0


def test_two_ups_on_two_folders_do_not_meet(start, tmp_path):
    """Two ups on two folders run side by side."""
    (tmp_path / "other").mkdir()
    one, other = start(), Up(tmp_path / "other" / "data")
    one.until("up.ready")
    other.until("up.ready")
    assert (one.end(), other.end()) == (0, 0)


def test_beside_an_amqp_broker_it_runs_a_state_store(start, found, tmp_path, monkeypatch):
    """With an AMQP broker and no state store, one of its own is run, told and used."""
    up = start(PINGPOST_BROKER_URL="amqp://guest:guest@127.0.0.1:1//")
    up.until("up.ready")
    places = found()
    assert places.broker_url == "amqp://guest:guest@127.0.0.1:1//"
    assert ping(places.state_client_url)
    assert (tmp_path / "data" / "state" / "appendonlydir").is_dir()
    assert "appendfsync everysec\n" in (tmp_path / "data" / "state" / "valkey.conf").read_text()
    assert up.end() == 0
    assert [line["part"] for line in up.said if line["event"] == "part.stopped"][-1] == "state"


def test_with_a_broker_of_ones_own_no_server_is_run(start, tmp_path):
    """With a Redis set, it is broker and state store, and nothing is embedded."""
    up = start(PINGPOST_BROKER_URL="valkey://127.0.0.1:1/0")
    assert up.until("up.ready")["broker"] == "redis://127.0.0.1:1/0"
    assert up.end() == 0
    assert not (tmp_path / "data" / "broker").exists()


def test_a_part_that_never_starts_ends_everything_with_its_words(start, alive):
    """A part that cannot start ends the up with a fault that tells which and why, and leaves nothing behind."""
    up = start("beat")
    _, told = up.process.communicate(timeout=60)
    assert up.process.returncode == 1
    assert told.strip() == "beat does not start: I never start"


def test_a_line_that_is_not_json_is_wrapped_in_one_that_is(start):
    """Whatever a part prints, every line on standard output is a JSON object with an event."""
    up = start()
    up.until("up.ready")
    up.end()
    wrapped = [line for line in up.said if line["event"] == "part.output" and line["part"] == "worker"]
    assert wrapped[0]["line"] == "a line that is not JSON"


def test_it_stops_when_nobody_reads_its_lines_any_more(start, eventually, alive):
    """Calls are not sold unseen: when the reader of the log goes away, it stops, and its parts with it."""
    up = start()
    up.until("up.ready")
    up.process.stdout.close()
    os.kill(up.pids()[-1], signal.SIGKILL)  # a part that dies is a line to write
    assert up.process.wait(60) == 0
    assert not any(alive(pid) for pid in up.pids())

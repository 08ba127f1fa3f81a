"""The embedded broker: a real server, run for real."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import redis

from workers import server_program
from workers.embedded import Embedded, EmbeddedError, Program, find_program, running

DRIVER = """
import sys
from pathlib import Path
from workers.embedded import running
with running(Path(sys.argv[1])) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def home(tmp_path):
    return tmp_path / "a folder" / "broker"


@pytest.fixture
def elsewhere(home):
    """A process of its own that runs a server, and its URL."""
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    url = process.stdout.readline().strip()
    assert url.startswith("redis://"), url
    yield process, url
    process.kill()
    process.communicate()


def ask(url, *words):
    with redis.Redis.from_url(url) as client:
        return client.execute_command(*words)


def pending(pid):
    """The signals that were sent to a process and that it has blocked."""
    status = Path(f"/proc/{pid}/status").read_text()
    masks = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith("ShdPnd")]
    return {number for number in signal.Signals if masks[0] >> (number - 1) & 1}


def server_pid(url):
    return int(ask(url, "INFO", "server")["process_id"])


def test_a_server_answers_at_its_url_and_is_gone_after_the_block(home, alive):
    """A server answers at its URL and is gone after the block."""
    with running(home) as url:
        assert ask(url, "PING")
        pid = server_pid(url)
    assert not alive(pid)
    with pytest.raises(redis.ConnectionError):
        ask(url, "PING")


def test_a_server_is_deaf_to_signals_and_ends_when_its_owner_asks_it_to(home, alive):
    """Who asks every process at once to end, as systemd does by default, leaves the broker to those who still work."""
    with running(home) as url:
        server = psutil.Process(server_pid(url))
        server.send_signal(signal.SIGTERM)
        server.send_signal(signal.SIGINT)
        # A server that had heard would refuse a second client soon; this one takes commands for as long as it is used.
        for _ in range(200):
            assert ask(url, "PING")
        assert pending(server.pid) >= {signal.SIGTERM, signal.SIGINT}
    assert not alive(server.pid)


def test_url_and_data_are_the_same_at_the_next_start(home):
    """URL and data are the same at the next start."""
    with running(home) as first:
        ask(first, "LPUSH", "leads", "one", "two")
    with running(home) as second:
        assert second == first
        assert ask(second, "LRANGE", "leads", 0, -1) == [b"two", b"one"]


def test_what_was_acknowledged_is_there_after_the_server_was_killed(home, eventually, alive):
    """What was acknowledged is there after the server was killed."""
    with running(home) as url:
        for number in range(50):
            ask(url, "RPUSH", "leads", number)
        pid = server_pid(url)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not alive(pid))
    with running(home) as url:
        assert ask(url, "LLEN", "leads") == 50


def test_a_taken_port_is_replaced_by_another(home):
    """Where the kept port is taken by someone else, the server listens on another one."""
    with running(home) as first:
        ask(first, "SET", "kept", "1")
    taken = socket.create_server(("127.0.0.1", urlsplit(first).port))
    with taken, running(home) as second:
        assert urlsplit(second).port != urlsplit(first).port
        assert ask(second, "GET", "kept") == b"1"
        assert urlsplit(second).password == urlsplit(first).password


def test_once_the_url_was_told_the_port_stays(home):
    """Once a server has answered, another start prepares the same port, taken or not: clients know it."""
    with running(home) as url:
        server = Embedded(home)
        assert server.answers()
        server.prepare()
        assert server.url == url
        newcomer = Embedded(home)
        newcomer.prepare()
        assert newcomer.url != url


def test_it_listens_on_loopback_alone_and_only_with_the_password(home):
    """It listens on loopback alone, and refuses whoever has no password."""
    with running(home) as url:
        listening = {c.laddr.ip for c in psutil.Process(server_pid(url)).net_connections() if c.status == "LISTEN"}
        assert listening == {"127.0.0.1"}
        port = urlsplit(url).port
        with pytest.raises(redis.AuthenticationError):
            ask(f"redis://127.0.0.1:{port}/0", "LLEN", "leads")
        with pytest.raises(redis.AuthenticationError):
            ask(f"redis://:wrong@127.0.0.1:{port}/0", "LLEN", "leads")


def test_the_password_is_in_no_command_line_and_no_environment(home):
    """The password is in no command line and no environment of any process."""
    with running(home) as url:
        password = urlsplit(url).password
        shown = 0
        for process in psutil.process_iter():
            try:
                words = [*process.cmdline(), *process.environ().values()]
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            shown += 1
            assert not any(password in word for word in words)
        assert shown > 2
        assert password not in " ".join(psutil.Process(server_pid(url)).cmdline())


def test_only_the_owner_reads_password_and_data(home):
    """Only the owner enters the folder and reads what holds the password."""
    home.mkdir(parents=True, mode=0o755)
    with running(home):
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        for name in ("endpoint.json", "valkey.conf"):
            assert stat.S_IMODE((home / name).stat().st_mode) == 0o600


def test_it_never_drops_and_always_writes(home):
    """Every write is on the disk before it is acknowledged, and nothing is ever evicted."""
    with running(home) as url, redis.Redis.from_url(url, decode_responses=True) as client:
        told = client.config_get("appendfsync", "appendonly", "maxmemory-policy", "save")
    assert told == {
        "appendfsync": "always",
        "appendonly": "yes",
        "maxmemory-policy": "noeviction",
        "save": "",
    }


def test_a_second_process_is_refused_the_folder(elsewhere, home):
    """While one process runs the server, another is refused."""
    with pytest.raises(EmbeddedError, match="another process runs the server"), running(home):
        pytest.fail("two servers on the same data")


def test_the_server_dies_with_its_killed_owner(elsewhere, home, eventually, alive):
    """A server whose owner is killed dies too, and the next one has its data at the same URL."""
    owner, url = elsewhere
    ask(url, "SET", "kept", "1")
    pid = server_pid(url)
    owner.kill()
    eventually(lambda: not alive(pid), "the server's death")
    with running(home) as again:
        assert again == url
        assert ask(again, "GET", "kept") == b"1"


def test_an_orphan_is_ended_before_its_data_is_opened_again(elsewhere, home, eventually, alive):
    """A server that outlived both its owner and the guard is asked to end: there are never two on the same data."""
    owner, url = elsewhere
    ask(url, "SET", "kept", "1")
    pid = server_pid(url)
    guard = next(c for c in psutil.Process(owner.pid).children() if "pingpost-guard" in c.cmdline())
    owner.send_signal(signal.SIGSTOP)  # so that it does not put the guard back
    guard.kill()
    owner.kill()
    owner.wait()
    assert alive(pid)
    with running(home) as again:
        assert not alive(pid)
        assert ask(again, "GET", "kept") == b"1"


def test_a_torn_endpoint_file_is_made_anew(home):
    """A torn endpoint file is made anew, and the data is kept."""
    with running(home) as url:
        ask(url, "SET", "kept", "1")
    (home / "endpoint.json").write_text('{"port": 2')
    with running(home) as url:
        assert ask(url, "GET", "kept") == b"1"
    assert json.loads((home / "endpoint.json").read_text())["port"] == urlsplit(url).port


def test_a_server_that_cannot_start_says_why(home):
    """A server that cannot read its data does not start, and the error holds its own words."""
    with running(home) as url:
        ask(url, "SET", "kept", "1")
    for file in (home / "appendonlydir").glob("*.manifest"):
        file.write_text("no manifest\n")
    with pytest.raises(EmbeddedError, match=r"(?s)does not answer: .*manifest"), running(home):
        pytest.fail("it started on data that it cannot read")


def test_without_any_program_the_error_names_what_to_install(monkeypatch):
    """With no server on the machine and no wheel, the error names what to install."""
    monkeypatch.setattr(server_program, "WHEEL", "no-such-wheel")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EmbeddedError, match="install the Python package no-such-wheel, or valkey-server"):
        find_program()


def program(folder, name, version):
    path = folder / name
    path.write_text(f"#!/bin/sh\necho 'Server v={version} sha=0'\n")
    path.chmod(0o755)
    return path


def test_the_wheel_comes_before_the_machine_s_own(tmp_path, monkeypatch):
    """The wheel's server, which the lock file names, comes before one on the PATH."""
    own = program(tmp_path, "valkey-server", "99.0.0")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    assert find_program().path != own
    monkeypatch.setattr(server_program, "WHEEL", "no-such-wheel")
    assert find_program() == Program(own, (99, 0, 0))


def test_a_server_without_blmove_is_passed_over(tmp_path, monkeypatch):
    """A server older than BLMOVE is passed over and named; Valkey is preferred to Redis."""
    monkeypatch.setattr(server_program, "WHEEL", "no-such-wheel")
    monkeypatch.setenv("PATH", str(tmp_path))
    program(tmp_path, "redis-server", "6.0.16")
    with pytest.raises(EmbeddedError, match=r"redis-server \(6\.0\.16\)"):
        find_program()
    redis_server = program(tmp_path, "redis-server", "6.2.0")
    assert find_program().path == redis_server
    valkey_server = program(tmp_path, "valkey-server", "7.2.5")
    assert find_program().path == valkey_server


def test_data_of_a_newer_server_is_not_opened_by_one_that_would_not_see_it(home, tmp_path):
    """Redis 6.2 does not see what a newer server wrote and would start empty: it is refused."""
    with running(home) as url:
        ask(url, "SET", "kept", "1")
    old = Program(program(tmp_path, "redis-server", "6.2.0"), (6, 2, 0))
    with pytest.raises(EmbeddedError, match="written by a newer server"):
        Embedded(home, old)


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server installed here")
def test_redis_reads_what_valkey_wrote(home):
    """The data is plain commands: the machine's Redis serves what the wheel's Valkey wrote, after a rewrite too."""
    installed = Path(shutil.which("redis-server"))
    version = server_program._version(installed)
    if version < (7, 0, 0):
        pytest.skip("an older Redis keeps its data in another form")
    with running(home) as url:
        ask(url, "LPUSH", "leads", "one")
        ask(url, "BGREWRITEAOF")
    with running(home, Program(installed, version)) as again:
        assert again == url
        assert ask(again, "LRANGE", "leads", 0, -1) == [b"one"]

"""Flower of docker-compose.yml: its pages and its API open to whoever has the password, and to nobody else."""

from __future__ import annotations

import subprocess
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ops.servers.own import OwnServer, free_port
from ops.servers.waiting import wait_until
from tests.compose.composefile import read
from tests.compose.test_services import Machine

CREDENTIALS = "operator:flower-0b7d1f"
GUARDED = ("/", "/workers", "/tasks", "/broker", "/api/workers", "/api/tasks", "/api/task/types", "/api/queues/length")
OPEN = ("/healthcheck", "/metrics")
READY_S = 60


@pytest.fixture(scope="module")
def flower(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[str]:
    """Flower, by the file's own command, environment and secrets; gives its URL."""
    folder = tmp_path_factory.mktemp("flower")
    for name, text in (("broker_url", redis_url), ("state_url", redis_url), ("flower_basic_auth", CREDENTIALS)):
        (folder / name).write_text(text)
    port = free_port()
    service = read()["services"]["flower"]
    here = {"PINGPOST_DATA": str(folder / "data"), "FLOWER_ADDRESS": "127.0.0.1", "FLOWER_PORT": str(port)}
    machine = Machine(folder, here)
    own = OwnServer("flower")
    process = own.run(machine.command_of(service), env=machine.environment_of(service))
    url = f"http://127.0.0.1:{port}"
    assert wait_until(lambda: process.poll() is not None or _status(url + "/healthcheck") == 200, within_s=READY_S)
    assert process.poll() is None, own.output
    assert CREDENTIALS not in " ".join(psutil.Process(process.pid).cmdline())
    yield url
    own.stop()


def _status(url: str, credentials: str | None = None, method: str = "GET") -> int | None:
    request = urllib.request.Request(url, method=method)
    if credentials:
        request.add_header("Authorization", f"Basic {b64encode(credentials.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            status: int = answer.status
            return status
    except urllib.error.HTTPError as refused:
        return refused.code
    except OSError:
        return None


@pytest.mark.parametrize("path", GUARDED)
def test_a_page_asks_for_the_password(flower: str, path: str):
    """401 without one and with another, and the page with the right one."""
    assert _status(flower + path) == 401
    assert _status(flower + path, "operator:another") == 401
    assert _status(flower + path, CREDENTIALS) == 200


@pytest.mark.parametrize("path", ["/api/worker/shutdown/x", "/api/task/send-task/sweep", "/api/task/revoke/x"])
def test_nobody_without_the_password_orders_anything(flower: str, path: str):
    """No worker is stopped, and no task sent, by whoever is just on the machine."""
    assert _status(flower + path, method="POST") == 401


@pytest.mark.parametrize("path", OPEN)
def test_what_answers_without_a_password_is_health_and_numbers(flower: str, path: str):
    """Both are published to this machine alone (`test_file.py`)."""
    assert _status(flower + path) == 200


@pytest.mark.parametrize("text", [None, "", "operator-771f:", ":word-771f"])
def test_a_file_without_a_password_stops_flower_and_is_not_quoted(text: str | None, redis_url: str, tmp_path: Path):
    """Better no Flower than one that lets everybody in."""
    (tmp_path / "broker_url").write_text(redis_url)
    (tmp_path / "state_url").write_text(redis_url)
    if text is not None:
        (tmp_path / "flower_basic_auth").write_text(text)
    machine = Machine(tmp_path, {"PINGPOST_DATA": str(tmp_path / "data"), "FLOWER_ADDRESS": "127.0.0.1"})
    service = read()["services"]["flower"]
    ended = subprocess.run(
        machine.command_of(service),
        env={**machine.environment_of(service), "FLOWER_PORT": str(free_port())},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=READY_S,
        check=False,
    )
    assert ended.returncode == 2
    assert "FLOWER_BASIC_AUTH_FILE" in ended.stderr
    assert "771f" not in ended.stderr

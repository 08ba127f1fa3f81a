"""The servers of the tests themselves: they answer, and they are gone afterwards."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import amqp
import psycopg
import pytest
import redis
from sqlalchemy.engine import make_url

from ops.servers.postgresql import NoPostgresql, start_postgresql
from ops.servers.rabbitmq import NoRabbitmq, start_rabbitmq
from ops.servers.redis import NoRedis, start_redis
from ops.servers.waiting import wait_until
from tests.servers import need


def _listens(url: str) -> bool:
    parts = urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((parts.hostname, parts.port)) == 0


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder with a short path that other users may enter, for a server that does not run as root."""
    with tempfile.TemporaryDirectory(prefix="pingpost-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.parametrize(
    ("start", "absent"),
    [
        pytest.param(start_postgresql, NoPostgresql, marks=pytest.mark.postgresql, id="postgresql"),
        pytest.param(start_rabbitmq, NoRabbitmq, marks=pytest.mark.rabbitmq, id="rabbitmq"),
        pytest.param(start_redis, NoRedis, id="redis"),
    ],
)
def test_a_server_listens_until_it_is_stopped_and_leaves_no_files(
    start: Callable[[Path], tuple[str, Callable[[], None]]], absent: type[Exception], open_folder: Path
):
    try:
        url, stop = start(open_folder)
    except absent as reason:
        need.missing(str(reason))
    try:
        assert _listens(url)
    finally:
        stop()
    assert not _listens(url)
    assert list(open_folder.iterdir()) == []


@pytest.mark.postgresql
def test_the_shared_postgresql_answers(postgresql_url: str):
    url = make_url(postgresql_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.rabbitmq
def test_the_shared_rabbitmq_takes_and_gives_a_message(rabbitmq_url: str):
    parts = urlsplit(rabbitmq_url)
    with amqp.Connection(
        f"{parts.hostname}:{parts.port}",
        userid=parts.username,
        password=parts.password,
        virtual_host=parts.path.removeprefix("/") or "/",
    ) as connection:
        channel = connection.channel()
        queue = channel.queue_declare(exclusive=True).queue
        channel.basic_publish(amqp.Message("here"), routing_key=queue)
        assert wait_until(lambda: (taken := channel.basic_get(queue)) is not None and taken.body == "here", within_s=5)


def test_the_shared_redis_keeps_a_value(redis_url: str):
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        client.set("tests:servers", "here", ex=60)
        assert client.get("tests:servers") == "here"


def test_what_is_missing_skips_at_home_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(need.CI, raising=False)
    with pytest.raises(pytest.skip.Exception):
        need.missing("no such thing")
    monkeypatch.setenv(need.CI, "true")
    with pytest.raises(pytest.fail.Exception):
        need.missing("no such thing")

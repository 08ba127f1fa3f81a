"""Where things are found: what is set, else what a living up tells, else a refusal that names the variable."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from workers import folder
from workers.places import (
    Places,
    for_libraries,
    for_redis_py,
    forget,
    is_store,
    resolve,
    tell,
    without_password,
)
from workers.settings import Settings, SettingsError

TOLD = Places("redis://:a@127.0.0.1:1/0", "redis://:b@127.0.0.1:2/0", "sqlite:///x")


@pytest.fixture
def data(tmp_path):
    return tmp_path


@pytest.fixture
def up_runs(data):
    """An up that has told its places and holds the lock."""
    lock = folder.take_lock(data / "up.lock")
    tell(data, TOLD)
    yield
    os.close(lock)


def settings(data, **given):
    return Settings(_env_file=None, data=data, **given)


@pytest.mark.parametrize(
    ("given", "broker", "state"),
    [
        ({}, TOLD.broker_url, TOLD.broker_url),
        ({"broker_url": "redis://h/1"}, "redis://h/1", "redis://h/1"),
        ({"broker_url": "valkey://:p@h/1"}, "redis://:p@h/1", "redis://:p@h/1"),
        ({"broker_url": "VALKEYS://h"}, "rediss://h", "rediss://h"),
        ({"broker_url": "redis+socket:///s"}, "redis+socket:///s", "redis+socket:///s"),
        ({"broker_url": "amqp://h"}, "amqp://h", TOLD.state_url),
        ({"broker_url": "amqps://h", "state_url": "valkeys://s"}, "amqps://h", "rediss://s"),
        ({"broker_url": "redis://h/1", "state_url": "redis://s"}, "redis://h/1", "redis://s"),
        ({"state_url": "redis://s"}, TOLD.broker_url, "redis://s"),
    ],
)
def test_what_is_set_wins_over_what_a_running_up_tells(data, up_runs, given, broker, state):
    """What is set wins over what a running up tells; the state store is the broker where that can keep state."""
    places = resolve(settings(data, **given))
    assert (places.broker_url, places.state_url) == (broker, state)


@pytest.mark.parametrize(
    ("given", "variable"),
    [
        ({}, "PINGPOST_BROKER_URL"),
        ({"state_url": "redis://s"}, "PINGPOST_BROKER_URL"),
        ({"broker_url": "amqp://h"}, "PINGPOST_STATE_URL"),
    ],
)
def test_without_an_up_a_missing_place_is_refused_by_its_name(data, given, variable):
    """Where no up runs, a place that is not set is refused in one line that names its variable."""
    with pytest.raises(SettingsError, match=variable) as refused:
        resolve(settings(data, **given))
    assert "\n" not in str(refused.value)


def test_what_a_killed_up_left_behind_is_not_believed(data):
    """Files whose up no longer holds its lock are not used."""
    os.close(folder.take_lock(data / "up.lock"))
    tell(data, TOLD)
    with pytest.raises(SettingsError, match="PINGPOST_BROKER_URL"):
        resolve(settings(data))


def test_an_up_that_is_still_starting_has_no_broker_yet(data):
    """While an up holds the lock and has told nothing, the broker is unknown."""
    lock = folder.take_lock(data / "up.lock")
    with pytest.raises(SettingsError, match="PINGPOST_BROKER_URL"):
        resolve(settings(data))
    os.close(lock)


def test_the_told_urls_are_for_the_owner_alone_and_go_away(data):
    """The files hold the whole URLs, only their owner reads them, and they can be removed twice."""
    (data / "broker-url").write_text("old")
    (data / "broker-url").chmod(0o644)
    tell(data, TOLD)
    for name, url in (("broker-url", TOLD.broker_url), ("state-url", TOLD.state_url)):
        assert (data / name).read_text() == url + "\n"
        assert stat.S_IMODE((data / name).stat().st_mode) == 0o600
    forget(data)
    forget(data)
    assert list(data.iterdir()) == []


def test_the_ledger_is_sqlite_in_the_data_folder_from_wherever_one_looks(data, monkeypatch):
    """Without a setting the ledger is a file in the data folder, by an absolute path."""
    monkeypatch.chdir(data)
    places = resolve(settings(Path("here"), broker_url="redis://h"))
    assert places.ledger_url == f"sqlite:///{data.resolve()}/here/ledger.sqlite3"
    given = resolve(settings(data, broker_url="redis://h", ledger_url="postgresql+psycopg://p/q"))
    assert given.ledger_url == "postgresql+psycopg://p/q"


def test_places_survive_the_way_through_an_environment(data, monkeypatch):
    """A child that gets the environment finds the same three places, sockets included."""
    first = resolve(settings(data, broker_url="redis+socket:///run/v.sock?virtual_host=3"))
    for name, value in first.environment().items():
        monkeypatch.setenv(name, value)
    assert resolve(settings(data)) == first
    assert first.state_client_url == "unix:///run/v.sock?db=3"


@pytest.mark.parametrize(
    ("url", "for_libraries_", "for_redis_py_"),
    [
        ("redis://:p@h:1/0", "redis://:p@h:1/0", "redis://:p@h:1/0"),
        ("valkey://:p@h:1/0", "redis://:p@h:1/0", "redis://:p@h:1/0"),
        ("valkeys://h?ssl_ca_certs=a", "rediss://h?ssl_ca_certs=a", "rediss://h?ssl_ca_certs=a"),
        ("redis+socket:///a/b.sock", "redis+socket:///a/b.sock", "unix:///a/b.sock?db=0"),
        (
            "redis+socket://:p@/a/b.sock?virtual_host=/2",
            "redis+socket://:p@/a/b.sock?virtual_host=/2",
            "unix://:p@/a/b.sock?db=2",
        ),
    ],
)
def test_a_store_s_url_is_written_as_each_library_knows_it(url, for_libraries_, for_redis_py_):
    """A store's URL is turned into what kombu and redis-py each understand."""
    assert for_libraries(url) == for_libraries_
    assert for_redis_py(url) == for_redis_py_
    assert is_store(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:secret@127.0.0.1:1/0", "redis://:***@127.0.0.1:1/0"),
        ("amqp://guest:s%40cret@h:5672/v", "amqp://guest:***@h:5672/v"),
        ("postgresql+psycopg://u@h/d?password=secret", "postgresql+psycopg://u@h/d?password=***"),
        ("sqlite:////a/b.sqlite3", "sqlite:////a/b.sqlite3"),
        ("redis+socket:///a?password=secret", "redis+socket:///a?password=***"),
    ],
)
def test_a_url_is_shown_without_its_password(url, shown):
    """What is shown of a URL tells where it leads, and no password."""
    assert without_password(url) == shown
    assert "secret" not in repr(Places(url, url, url))

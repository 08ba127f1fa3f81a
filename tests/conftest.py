"""What several suites need: the buyer's real tables, and servers, each started when the first test asks for it.

A server under a URL of the environment is taken as it is. One that is neither there nor installed skips its tests at
home, and is an error where the environment says CI.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from ops.servers.postgresql import NoPostgresql, start_postgresql
from ops.servers.rabbitmq import NoRabbitmq, start_rabbitmq
from ops.servers.redis import NoRedis, start_redis
from tasks.buyers.registry import load_protocol
from tasks.core.lead import Flow
from tasks.core.protocol import Protocol
from tasks.core.validation import Defaults
from tests.declared import held_to_what_is_declared
from tests.servers.need import POSTGRESQL_VARIABLE, RABBITMQ_VARIABLE, missing

# How long an example takes says more about the machine's other tenants than about the code.
settings.register_profile("pingpost", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("pingpost")


# A file's tests go to one process of a run. So do the files of a suite that share installations, which take long to
# start: else each process would start its own.
TOGETHER = {
    "faults": ("broker_faults", "buyer_faults", "dead_letters", "deadlines", "kills", "poison", "sweep"),
    "integration": ("commands", "every_broker", "watching"),
    "producers": ("envelopes", "producers", "readme"),
}
# They are handed out in this order: those that take a minute and more begin first, so that none of them is what all
# others wait for at the end.
LONG = (
    "chaos/test_rolling.py",
    "faults",
    "integration",
    "chaos/test_chaos.py",
    "bounds/test_bounds.py",
    "faults/test_stops.py",
    "secrets/test_everywhere.py",
    "gates/test_stream.py",
    "faults/test_maintenance.py",
    "compose/test_services.py",
    "faults/test_broker_alarm.py",
    "producers",
    "faults/test_restore.py",
    "frontdoor/test_submit.py",
    "faults/test_absences.py",
    "browser/test_flower.py",
    "simulation/test_simulation.py",
)


def group_of(file: str) -> str:
    """Give what goes to one process of a run: a suite, for those of its files that share installations, or a file."""
    suite, name = file.split("/")[-2:]
    return suite if name.removeprefix("test_").removesuffix(".py") in TOGETHER.get(suite, ()) else f"{suite}/{name}"


class ByGroup(LoadScopeScheduling):
    """Hands out group by group. (xdist's own `loadgroup` finds no groups in names of pytest 9.2.)"""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid.partition("::")[0])


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByGroup:
    """Give what hands tests out to the processes of a run."""
    return ByGroup(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put first what takes long."""
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(group_of(item.path.as_posix()), len(LONG)))


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Generator[None, object, object]:
    """Let no fixture that lasts longer than a test, and runs a command, set logging up for all tests that follow."""
    before = structlog.get_config()
    try:
        return (yield)
    finally:
        if fixturedef.scope != "function":
            structlog.configure(**before)


@pytest.fixture(autouse=True)
def undeclared_lines() -> Iterator[list[str]]:
    """What a test logs in this process is declared. A command that sets logging up in it does so for nobody else."""
    with held_to_what_is_declared() as faults:
        yield faults
    assert faults == [], "see tasks/events.toml"


@pytest.fixture(scope="session")
def protocol() -> Protocol:
    """The buyer's tables, as they are shipped."""
    return load_protocol()


@pytest.fixture(scope="session")
def defaults() -> Defaults:
    """What a lead gets where it names nothing itself."""
    return Defaults(flow=Flow.PING_POST, deadline_s=20.0, subid="", test_mode=False)


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A PostgreSQL on which databases may be made (`ops.servers.postgresql.new_database`)."""
    if given := os.environ.get(POSTGRESQL_VARIABLE):
        yield given
        return
    try:
        url, stop = start_postgresql()
    except NoPostgresql as reason:
        missing(f"{reason}, and {POSTGRESQL_VARIABLE} is not set")
    yield url
    stop()


@pytest.fixture(scope="session")
def rabbitmq_url() -> Iterator[str]:
    """A RabbitMQ, shared by the whole run: who uses it leaves its queues empty."""
    if given := os.environ.get(RABBITMQ_VARIABLE):
        yield given
        return
    try:
        url, stop = start_rabbitmq()
    except NoRabbitmq as reason:
        missing(f"{reason}, and {RABBITMQ_VARIABLE} is not set")
    yield url
    stop()


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis or Valkey, shared by the whole run: who uses it leaves it empty."""
    try:
        url, stop = start_redis()
    except NoRedis as reason:
        missing(str(reason))
    yield url
    stop()

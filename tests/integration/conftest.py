"""Whole installations, each started once: on every pair of broker and ledger that the contract promises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import amqp
import pytest

from ops.sandbox import Sandbox
from ops.servers.postgresql import new_database
from ops.servers.rabbitmq import NoRabbitmq, start_rabbitmq
from tests.integration.control import Operator
from tests.integration.echo import EchoBuyer
from tests.integration.installation import Installation, installed
from tests.integration.upstream import Upstream, amqp_connection

# A lead's zip code decides its fate.
SCENARIO: Mapping[str, Any] = {
    "prices": {"16001": "12.50", "16002": "9.755"},
    "rules": [
        {"call": "ping", "zipcode": "05000", "code": 5000},
        {"call": "post", "zipcode": "05001", "code": 5000},
        {"call": "ping", "zipcode": "02000", "code": 2000},
        {"call": "ping", "zipcode": "00500", "fault": "http_500"},
        {"call": "ping", "zipcode": "0300*", "latency_ms": 1800},
    ],
    "caps": [{"numcategory": 16005, "count": 1}],
}


@dataclass(frozen=True)
class House:
    """An installation, its buyer, and who stands around it."""

    installation: Installation
    buyer: Sandbox
    upstream: Upstream
    operator: Operator

    @property
    def on_amqp(self) -> bool:
        """Whether the broker is RabbitMQ."""
        return self.installation.broker_url.startswith("amqp")


@pytest.fixture(
    scope="package",
    params=[
        "embedded",
        pytest.param("rabbitmq", marks=[pytest.mark.rabbitmq, pytest.mark.postgresql]),
        pytest.param("quorum", marks=pytest.mark.rabbitmq),
    ],
)
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Embedded Valkey and SQLite; RabbitMQ and PostgreSQL; RabbitMQ with quorum queues and SQLite."""
    with ExitStack() as stack:
        environment = {"PINGPOST_METHOD": "form", "PINGPOST_RESPTYPE": "JSON"}
        if request.param != "embedded":
            url = stack.enter_context(_own_rabbitmq(request))
            environment = {"PINGPOST_BROKER_URL": url, "PINGPOST_METHOD": "json", "PINGPOST_RESPTYPE": "XML"}
            stack.callback(empty_broker, url)
            empty_broker(url)
        if request.param == "rabbitmq":
            database = stack.enter_context(new_database(request.getfixturevalue("postgresql_url")))
            environment["PINGPOST_LEDGER_URL"] = database
        if request.param == "quorum":
            quorum = {"PINGPOST_QUEUE_TYPE": "quorum", "PINGPOST_METHOD": "get", "PINGPOST_RESPTYPE": ""}
            environment = {**environment, **quorum}
        echo = stack.enter_context(EchoBuyer())
        environment["PINGPOST_ONE_STEP_URL"] = echo.url
        buyer = stack.enter_context(Sandbox(SCENARIO))
        folder = tmp_path_factory.mktemp(request.param)
        installation = stack.enter_context(installed(folder, buyer, environment))
        upstream = Upstream(installation.broker_url)
        stack.callback(upstream.close)
        yield House(installation, buyer, upstream, Operator(installation.broker_url))


@contextmanager
def _own_rabbitmq(request: pytest.FixtureRequest) -> Iterator[str]:
    """A node of the house's own: its intake would eat the leads of other suites' queues on a shared one."""
    try:
        url, stop = start_rabbitmq()
    except NoRabbitmq:
        yield request.getfixturevalue("rabbitmq_url")
        return
    try:
        yield url
    finally:
        stop()


@dataclass(frozen=True)
class Town:
    """A smaller house: an installation without Flower, its buyer and its upstream."""

    installation: Installation
    buyer: Sandbox
    upstream: Upstream


class Neighbours:
    """Installations with settings of their own, on the embedded broker."""

    def __init__(self, factory: pytest.TempPathFactory, stack: ExitStack) -> None:
        self._factory = factory
        self._stack = stack

    def move_in(self, scenario: Mapping[str, Any], environment: Mapping[str, str]) -> Town:
        """Start one without Flower."""
        buyer = self._stack.enter_context(Sandbox(scenario))
        folder = self._factory.mktemp("neighbour")
        installation = self._stack.enter_context(installed(folder, buyer, environment, "--no-flower"))
        upstream = Upstream(installation.broker_url)
        self._stack.callback(upstream.close)
        return Town(installation, buyer, upstream)


@pytest.fixture(scope="module")
def neighbours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neighbours]:
    """Starts installations for a module, and stops them after it."""
    with ExitStack() as stack:
        yield Neighbours(tmp_path_factory, stack)


def empty_broker(url: str) -> None:
    """Remove everything of pingpost's from a RabbitMQ: queues of one type cannot be declared as the other."""
    connection: amqp.Connection = amqp_connection(url)
    with connection:
        channel = connection.channel()
        for queue in ("leads", "leads.dead", "dead", "calls", "calls.dead", "ping", "post", "upkeep"):
            channel.queue_delete(queue)
        for exchange in ("tasks", "dead", "outcomes"):
            channel.exchange_delete(exchange)

"""The front door over real brokers and a real ledger; only the chain behind it is a recording."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.buyers.registry import load_protocol
from tasks.core.protocol import Protocol
from tasks.ledger import Ledger, migrate
from tests.frontdoor.house import FrontDoor, open_door
from tests.frontdoor.wire import AmqpWire, RedisWire, Wire


@pytest.fixture(scope="session")
def protocol() -> Protocol:
    return load_protocol()


@pytest.fixture
def ledger_url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite3'}"
    migrate(url)
    return url


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    ledger = Ledger.open(ledger_url)
    yield ledger
    ledger.close()


@pytest.fixture
def amqp_wire(rabbitmq_url: str) -> Iterator[AmqpWire]:
    wire = AmqpWire(rabbitmq_url)
    wire.empty()
    yield wire
    wire.empty()
    wire.close()


@pytest.fixture
def redis_wire(redis_url: str) -> Iterator[RedisWire]:
    wire = RedisWire(redis_url)
    wire.empty()
    yield wire
    wire.empty()
    wire.close()


@pytest.fixture(params=["amqp", "redis"])
def wire(request: pytest.FixtureRequest) -> Wire:
    """A raw client of each broker, as a producer has that knows only the contract."""
    chosen: Wire = request.getfixturevalue(f"{request.param}_wire")
    return chosen


@pytest.fixture
def door(wire: Wire, ledger: Ledger, protocol: Protocol) -> Iterator[FrontDoor]:
    """A front door that is open, on each broker."""
    with open_door(wire.url, ledger, protocol) as door:
        yield door


@pytest.fixture
def amqp_door(amqp_wire: AmqpWire, ledger: Ledger, protocol: Protocol) -> Iterator[FrontDoor]:
    with open_door(amqp_wire.url, ledger, protocol) as door:
        yield door


@pytest.fixture
def redis_door(redis_wire: RedisWire, ledger: Ledger, protocol: Protocol) -> Iterator[FrontDoor]:
    with open_door(redis_wire.url, ledger, protocol) as door:
        yield door

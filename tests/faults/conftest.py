"""Whole installations whose parts are killed, whose broker goes away, whose buyer fails in every way it can."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from ops.sandbox import Sandbox
from ops.sandbox.entries import CallEntry
from ops.servers.rabbitmq import NoRabbitmq, start_rabbitmq
from ops.servers.redis import NoRedis, start_redis
from tasks.ledger.story import Story, story
from tasks.services import Services
from tests.faults.proxy import Proxy
from tests.faults.stand_ins import standing_in
from tests.integration.installation import Installation, installed, lead, wait_for
from tests.integration.upstream import Upstream
from tests.servers.need import missing

PING_TIMEOUT_S = 1.5
POST_TIMEOUT_S = 2.0
ENVIRONMENT: Mapping[str, str] = {
    "PINGPOST_PING_TIMEOUT_S": str(PING_TIMEOUT_S),
    "PINGPOST_POST_TIMEOUT_S": str(POST_TIMEOUT_S),
}

FAULTS = ("reset", "hang", "cut", "http_500", "garbage", "late_sale", "drop_after_sale")
SELLING = ("post", "one_step", "direct_post")


def _rules() -> Iterator[dict[str, Any]]:
    """A lead's zip code decides its fate; each test has zip codes of its own, by which it counts calls.

    1Cf00: call C answers with fault f. 2C0xx, 2C1xx: its first try is answered 1000, 1100. 30xxx: it sells, and answers
    late. 4f000: the first ping answers with fault f; 49000: every one hangs. 50xxx: the first ping answers late.
    52xxx: every ping is answered 1100, and to come again in an hour.
    """
    for number, call in enumerate(SELLING):
        put_off = {"call": call, "first": 1, "per": "lead"}
        yield {**put_off, "zipcode": f"2{number}0*", "code": 1000}
        yield {**put_off, "zipcode": f"2{number}1*", "code": 1100, "retry_after_s": 0}
        for place, fault in enumerate(FAULTS):
            yield {"call": call, "zipcode": f"1{number}{place}00", "fault": fault}
    yield {"call": SELLING, "zipcode": "30*", "latency_ms": POST_TIMEOUT_S * 800}
    for place, fault in enumerate(FAULTS):
        yield {"call": "ping", "zipcode": f"4{place}000", "first": 1, "fault": fault}
    yield {"call": "ping", "zipcode": "49000", "fault": "hang"}
    yield {"call": "ping", "zipcode": "50*", "first": 1, "latency_ms": PING_TIMEOUT_S * 800}
    yield {"call": "ping", "zipcode": "52*", "code": 1100, "retry_after_s": 3600}


SCENARIO: Mapping[str, Any] = {"rules": list(_rules())}


@dataclass(frozen=True)
class House:
    """An installation with its buyer, those upstream, and the ways to its broker and to the buyer's posts.

    `broker` is None where the installation runs its own.
    """

    installation: Installation
    buyer: Sandbox
    upstream: Upstream
    posts: Proxy
    broker: Proxy | None

    def story(self, lead_id: str) -> Story:
        """What the ledger tells of a lead."""
        found = self.installation.ledger.read(lambda connection: story(connection, lead_id))
        assert found is not None
        return found

    def calls(self, zipcode: str, call: str) -> list[CallEntry]:
        """What the buyer heard of a zip code."""
        return [one for one in self.buyer.book(calls=True)["calls"] if (one["zipcode"], one["call"]) == (zipcode, call)]

    def wait_for_call(self, zipcode: str, call: str, number: int = 1) -> None:
        """Wait until the buyer has heard a call; its answer is still to come."""
        wait_for(lambda: len(self.calls(zipcode, call)) >= number, 20, lambda: f"no {call} for {zipcode}")

    def sales(self, lead_id: str) -> int:
        """How often the buyer booked a lead."""
        return sum(sale["customid"] == lead_id for sale in self.buyer.book()["sales"])

    def outcome(self, lead_id: str) -> dict[str, Any]:
        """Wait for a lead's outcome, and see that it has this one only, wherever it is told."""
        outcome = self.upstream.answer(lead_id, within_s=40)
        wait_for(lambda: self.upstream.announced(lead_id), 10, lambda: f"{lead_id} was never announced")
        self.installation.wait_for_line("lead.outcome", lead_id=lead_id)  # written when it has been told
        lines = self.installation.lines("lead.outcome", lead_id=lead_id)
        assert len(lines) == 1, lines
        told = [*self.upstream.answers(lead_id), *(one for _, one in self.upstream.announced(lead_id))]
        assert {_same(one) for one in told} == {_same(outcome)}, told
        return outcome


def _same(outcome: Mapping[str, Any]) -> str:
    return str(sorted((name, value) for name, value in outcome.items() if name not in ("late", "replayed")))


def flow_of(call: str) -> dict[str, Any]:
    """The fields that send a lead along a call."""
    if call == "direct_post":
        return {"flow": call, "price": "9.50"}
    return {"flow": call} if call == "one_step" else {}


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker of the one test that takes a minute: ``-m "not slow"`` leaves it out."""
    config.addinivalue_line("markers", "slow: takes a minute or more")


class Houses:
    """Installations of this suite, each started when a test first asks for it."""

    def __init__(self, factory: pytest.TempPathFactory, stack: ExitStack) -> None:
        self._factory = factory
        self._stack = stack
        self._built: dict[str, House] = {}

    def __getitem__(self, broker: str) -> House:
        return self.posting(broker, "ping")

    def posting(self, broker: str, post_by: str) -> House:
        """One on this broker, in one of the forms of `PINGPOST_POST_BY`."""
        key = f"{broker} {post_by}"
        if key not in self._built:
            self._built[key] = self._build(broker, self._serve(broker), post_by)
        return self._built[key]

    def _serve(self, broker: str) -> str | None:
        """Start a broker that no other suite uses, since its connections are cut; None for an installation's own."""
        if broker == "embedded":
            return None
        try:
            url, stop = start_rabbitmq() if broker == "rabbitmq" else start_redis()
        except (NoRabbitmq, NoRedis) as reason:
            missing(str(reason))
        self._stack.callback(stop)
        return url

    def _build(self, broker: str, broker_url: str | None, post_by: str) -> House:
        buyer = self._stack.enter_context(Sandbox(SCENARIO))
        way_to_posts = urlsplit(buyer.post_url)
        posts = self._stack.enter_context(Proxy(str(way_to_posts.hostname), way_to_posts.port or 0))
        environment = {**ENVIRONMENT, "PINGPOST_POST_BY": post_by}
        environment["PINGPOST_POST_URL"] = f"http://127.0.0.1:{posts.port}{way_to_posts.path}"
        way_to_broker = None
        if broker_url is not None:
            way = urlsplit(broker_url)
            way_to_broker = self._stack.enter_context(Proxy(str(way.hostname), way.port or 0))
            environment["PINGPOST_BROKER_URL"] = broker_url.replace(f":{way.port}", f":{way_to_broker.port}")
            if not broker_url.startswith("amqp"):
                environment["PINGPOST_STATE_URL"] = broker_url
        folder = self._factory.mktemp(broker)
        installation = self._stack.enter_context(installed(folder, buyer, environment, "--no-flower"))
        # Upstream goes its own way to the broker: only pingpost's is cut.
        upstream = Upstream(broker_url or installation.broker_url)
        self._stack.callback(upstream.close)
        return House(installation, buyer, upstream, posts, way_to_broker)


@pytest.fixture(scope="package")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Houses]:
    """Starts installations for this suite."""
    with ExitStack() as stack:
        yield Houses(tmp_path_factory, stack)


@pytest.fixture(scope="package", params=["embedded", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def house(request: pytest.FixtureRequest, houses: Houses) -> House:
    """One on the embedded broker, one on RabbitMQ."""
    return houses[request.param]


@pytest.fixture(scope="package", params=["redis", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def cuttable(request: pytest.FixtureRequest, houses: Houses) -> House:
    """One on Valkey, one on RabbitMQ, whose ways to their brokers can be cut."""
    return houses[request.param]


@pytest.fixture(params=["redis", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def chained(request: pytest.FixtureRequest, houses: Houses) -> House:
    """The same where each post travels through the broker."""
    return houses.posting(request.param, "broker")


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """What a step needs: a real ledger, and stand-ins around it."""
    with standing_in(tmp_path) as services:
        yield services


def send(house: House, *lead_ids: tuple[str, Mapping[str, Any]]) -> Sequence[str]:
    """Send leads, and give their ids."""
    house.upstream.send(*(lead(lead_id, **fields) for lead_id, fields in lead_ids))
    return [lead_id for lead_id, _ in lead_ids]

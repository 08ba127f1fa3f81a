"""Broker, ledger and state store away under load, and back: everybody waits, says so once, and goes on."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import urlsplit

import pytest

from ops.sandbox import Sandbox
from ops.servers.postgresql import new_database
from ops.servers.rabbitmq import NoRabbitmq, start_rabbitmq
from ops.servers.redis import NoRedis, start_redis
from tests.faults.proxy import Proxy
from tests.integration.installation import Installation, installed, lead, wait_for
from tests.integration.upstream import Upstream
from tests.servers.need import missing

# Short in the suite; half a minute is what is promised, and can be asked for.
ABSENCE_S: Final = float(os.environ.get("PINGPOST_TEST_ABSENCE_S", "3"))
LEADS_A_SECOND: Final = 12
AROUND_S: Final = 1.0
DEADLINE_S: Final = 90
# Who uses what: intake, the worker for pings, the worker for posts, beat. Each says it once.
# How many processes must have each: intake, beat and both workers; intake and the worker that goes on from a bid; that
# worker. The one for posts alone may have a post that had to wait.
PROCESSES: Final[Mapping[str, Sequence[int]]] = {"broker": (4,), "ledger": (2, 3), "store": (1, 2)}
CAPPED: Final = 16004

pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True)
class Place:
    """An installation, its buyer and those upstream; `ways` are the ways to its servers, which can be cut."""

    installation: Installation
    buyer: Sandbox
    upstream: Upstream
    ways: Mapping[str, Proxy]


def _way(stack: ExitStack, url: str) -> tuple[str, Proxy]:
    """Put a proxy before a server."""
    parts = urlsplit(url)
    proxy = stack.enter_context(Proxy(str(parts.hostname), parts.port or 0))
    return url.replace(f":{parts.port}", f":{proxy.port}"), proxy


@pytest.fixture(
    scope="module",
    params=["redis", pytest.param("rabbitmq", marks=[pytest.mark.rabbitmq, pytest.mark.postgresql])],
)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Redis for broker and store, with SQLite; RabbitMQ, a store of its own, and PostgreSQL."""
    with ExitStack() as stack:
        try:
            store, stop = start_redis()
            stack.callback(stop)
            store_url, way_to_store = _way(stack, store)
            if request.param == "redis":
                broker, broker_url = store, store_url
                environment = {}
                ways = {"broker": way_to_store}
            else:
                broker, stop = start_rabbitmq()
                stack.callback(stop)
                broker_url, way_to_broker = _way(stack, broker)
                database = stack.enter_context(new_database(request.getfixturevalue("postgresql_url")))
                ledger_url, way_to_ledger = _way(stack, database)
                environment = {"PINGPOST_LEDGER_URL": ledger_url}
                ways = {"broker": way_to_broker, "ledger": way_to_ledger, "store": way_to_store}
        except (NoRabbitmq, NoRedis) as reason:
            missing(str(reason))
        environment |= {"PINGPOST_BROKER_URL": broker_url, "PINGPOST_STATE_URL": store_url}
        buyer = stack.enter_context(Sandbox({"latency_ms": 60}))
        folder = tmp_path_factory.mktemp(request.param)
        installation = stack.enter_context(installed(folder, buyer, environment, "--no-flower"))
        upstream = Upstream(broker)
        stack.callback(upstream.close)
        yield Place(installation, buyer, upstream, ways)


class Load:
    """Leads at a steady pace, from a thread, until the block ends. `names` are those that were sent."""

    def __init__(self, upstream: Upstream, name: str, **fields: Any) -> None:
        self.names: list[str] = []
        self._upstream = upstream
        self._fields = {"deadline_s": DEADLINE_S, **fields}
        self._name = name
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._send, name="load")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _send(self) -> None:
        while not self._done.wait(1 / LEADS_A_SECOND):
            name = f"{self._name}-{len(self.names)}"
            self._upstream.send(lead(name, **self._fields))
            self.names.append(name)


def absent(place: Place, what: str) -> dict[str, Any]:
    """Let a server be away under load, and back; see that every lead has one outcome, and the buyer no second post.

    Gives what came of the leads.
    """
    here = place.installation
    before = {event: len(here.lines(event)) for event in (f"{what}.away", f"{what}.back")}

    def said(event: str) -> int:
        return len(here.lines(event)) - before[event]

    processes = PROCESSES[what]
    with Load(place.upstream, what) as load:
        time.sleep(AROUND_S)  # the load before, in time as the load itself is
        place.ways[what].refuse()
        began = time.monotonic()
        try:
            wait_for(lambda: said(f"{what}.away") in processes, 30, lambda: f"{said(f'{what}.away')} said {what}.away")
            sold_before = len(place.buyer.book()["sales"])
            time.sleep(max(0.0, ABSENCE_S - (time.monotonic() - began)))
            if what == "store":  # without it leads are sold, if slowly
                wait_for(lambda: len(place.buyer.book()["sales"]) > sold_before, 20)
            sold_meanwhile = len(place.buyer.book()["sales"]) - sold_before
        finally:
            place.ways[what].listen()
        returned = time.monotonic()
        time.sleep(AROUND_S)
    outcomes = {name: place.upstream.answer(name, within_s=DEADLINE_S) for name in load.names}
    took_s = time.monotonic() - returned
    away = said(f"{what}.away")
    wait_for(lambda: said(f"{what}.back") == away, 20, lambda: f"{said(f'{what}.back')} of {away} said {what}.back")
    assert said(f"{what}.away") == away in processes, "each process says it once"
    statuses = Counter(outcome["status"] for outcome in outcomes.values())
    figures = {
        "what": what,
        "leads": len(load.names),
        "sold_meanwhile": sold_meanwhile,
        "done_after_s": round(took_s, 1),
        **statuses,
    }
    print(json.dumps(figures))  # noqa: T201 - `pytest -s` shows the figures that ops/runbook.md tells
    assert statuses.keys() <= {"sold", "unknown"}, figures
    _compare_books(place, outcomes)
    return figures


def _compare_books(place: Place, outcomes: Mapping[str, Mapping[str, Any]]) -> None:
    book = place.buyer.book()
    assert book["repeats"] == []
    assert book["doubles"] == []
    wait_for(lambda: all(place.upstream.announced(name) for name in outcomes), 20)
    # A line is written before its outcome is told, and comes to us through `up`, which may have more to do just then.
    logged = place.installation.lines
    wait_for(lambda: outcomes.keys() <= {line["lead_id"] for line in logged("lead.outcome")}, 20)
    # A ledger that goes away between an outcome and its mark has the line written once more: the same line.
    told = {(line["lead_id"], line["status"], line["at"]) for line in logged("lead.outcome")}
    lines = Counter(lead_id for lead_id, _, _ in told)
    assert {name: lines[name] for name in outcomes} == dict.fromkeys(outcomes, 1)
    sales = {sale["customid"]: sale for sale in book["sales"]}
    for name, outcome in outcomes.items():
        if outcome["status"] == "sold":
            assert outcome["token"] == sales[name]["token"]
    sold = {name for name in outcomes if name in sales}
    assert {outcomes[name]["status"] for name in sold} <= {"sold", "unknown"}


def test_a_broker_that_is_away_under_load_costs_no_lead(place: Place):
    """What was accepted is sold once, before or after; every process says it once."""
    figures = absent(place, "broker")

    assert "unknown" not in figures


@pytest.mark.postgresql
def test_a_ledger_that_is_away_under_load_costs_no_lead(place: Place):
    """Nothing is taken in meanwhile; a thread that holds an answer keeps it until it is written."""
    if "ledger" not in place.ways:
        pytest.skip("SQLite is a file beside the workers: it does not go away")

    figures = absent(place, "ledger")

    assert "unknown" not in figures


@pytest.mark.rabbitmq
def test_leads_are_sold_on_slowly_while_the_store_is_away_and_a_closed_cap_stays_closed(place: Place):
    """The ledger knows what is closed, and each process keeps a pace of its own."""
    if "store" not in place.ways:
        pytest.skip("the store is the broker here")
    here = place.installation
    assert here.command("gates", "close", f"category:{CAPPED}").returncode == 0
    try:
        with Load(place.upstream, "capped", numcategory=CAPPED) as load:
            figures = absent(place, "store")
        capped = [place.upstream.answer(name, within_s=DEADLINE_S) for name in load.names]
    finally:
        here.command("gates", "open", f"category:{CAPPED}")

    assert {outcome["status"] for outcome in capped} == {"capped"}
    assert not [call for call in place.buyer.book(calls=True)["calls"] if str(call.get("numcategory")) == str(CAPPED)]
    assert figures["sold_meanwhile"] > 0
    assert "unknown" not in figures

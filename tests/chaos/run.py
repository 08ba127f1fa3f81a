"""One run of chaos: a whole installation under load, what is done to it, and its books at the end."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import psutil
from redis import Redis, RedisError
from sqlalchemy import create_engine, select

from ops.sandbox import Sandbox
from tasks.ledger import schema
from tests.chaos.books import MICRO, Books, Entry, Findings, compare
from tests.integration.installation import IDENTITY, KEY, Installation, installed, lead
from tests.servers.need import wait_until
from tests.servers.rabbitmq import start_rabbitmq
from workers.places import ledger_default
from workers.producer import BrokerAway, Outcome, Producer

BROKERS = ("rabbitmq", "embedded")
PARTS = ("ping1", "ping2", "post1", "post2", "intake", "beat")
KILL_EVERY_S = 2.0
POST_TIMEOUT_S = 2.0
SETTLE_S = 180
ENVIRONMENT = {"PINGPOST_PING_TIMEOUT_S": "1.5", "PINGPOST_POST_TIMEOUT_S": str(POST_TIMEOUT_S)}


def scenario(seed: int) -> dict[str, Any]:
    """Give the buyer's bad day: shares of resets, hangs, 500, cut answers, rejections, 1000 and 1100."""
    faults = [
        {"call": call, "fault": fault, "share": 0.01}
        for call in ("ping", "post")
        for fault in ("reset", "hang", "http_500", "cut")
    ]
    codes = [{"code": code, "share": share} for code, share in ((5000, 0.05), (1000, 0.01), (1100, 0.005))]
    return {"seed": seed, "rules": [*faults, *codes]}


@dataclass(slots=True)
class Result:
    """What a run gave. `data` holds its ledger and its log."""

    broker: str
    seed: int
    leads: int
    accepted: int
    findings: Findings
    done: Mapping[str, int]
    faults: Mapping[str, int]
    duration_s: float
    data: Path

    def facts(self) -> dict[str, Any]:
        """Give all as JSON takes it."""
        unknown = sum(self.findings.unknown.values())
        return {
            "broker": self.broker,
            "seed": self.seed,
            "leads": self.leads,
            "accepted": self.accepted,
            "outcomes": dict(self.findings.statuses),
            "unknown_share": round(unknown / max(self.accepted, 1), 4),
            "unknown_causes": dict(self.findings.unknown),
            "chaos": dict(self.done),
            "buyer_faults": {str(fault): count for fault, count in self.faults.items()},
            "violations": [f"{v.rule}: {v.lead_id}" for v in self.findings.violations],
            "duration_s": round(self.duration_s, 1),
        }


@dataclass
class Chaos:
    """Breaks one thing after the other, in an order that the seed alone decides."""

    installation: Installation
    node: str | None
    random: Random
    restarts_at: list[float]  # seconds after the start
    interruptions: list[float] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Break things until `over`."""
        began = time.monotonic()
        turn = 0
        while not self.over.wait(KILL_EVERY_S):
            turn += 1
            part = self.random.choice(PARTS)
            if self.restarts_at and time.monotonic() - began > self.restarts_at[0]:
                self.restarts_at.pop(0)
                self._note("broker restarts", self._restart_broker)
            elif turn % 7 == 0:
                self._note("connections cut", self._cut)
            else:
                self._note(f"kills of {part}", lambda part=part: self.installation.part(part).kill())

    def _note(self, what: str, act: Callable[[], object]) -> None:
        self.interruptions.append(time.time())
        try:
            act()
        except (AssertionError, psutil.NoSuchProcess):
            return  # it is down already
        except RedisError:
            return
        self.done[what] += 1
        self.interruptions.append(time.time())

    def _restart_broker(self) -> None:
        if self.node is not None:
            _control(self.node, "stop_app")
            _control(self.node, "start_app")
            return
        port = urlsplit(self.installation.broker_url).port
        for pid in self.installation.pids:
            if any(f"{port}" in word for word in psutil.Process(pid).cmdline()) or _listens(pid, port):
                psutil.Process(pid).kill()
                return
        raise AssertionError("no server")

    def _cut(self) -> None:
        if self.node is not None:
            _control(self.node, "close_all_connections", "chaos")
            return
        with Redis.from_url(self.installation.broker_url, socket_timeout=2) as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def _listens(pid: int, port: int | None) -> bool:
    try:
        found = psutil.Process(pid).connections(kind="inet")
    except psutil.Error:
        return False
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in found)


def _control(url: str, *words: str) -> None:
    """Run rabbitmqctl in the environment of the node's own process, which knows its cookie and its name server."""
    name = f"pingpost-{urlsplit(url).port}@localhost"
    for process in psutil.process_iter(["name"]):
        if process.info["name"] == "beam.smp" and process.environ().get("RABBITMQ_NODENAME") == name:
            program = shutil.which("rabbitmqctl", path="/usr/lib/rabbitmq/bin") or "rabbitmqctl"
            subprocess.run(
                [program, "-n", name, *words], env=process.environ(), capture_output=True, timeout=90, check=False
            )
            return
    raise AssertionError("no node")


def run(folder: Path, broker: str, *, leads: int, rate: float, seed: int) -> Result:
    """Run one installation under chaos in `folder`, at most `rate` leads a second, and compare the books."""
    began = time.monotonic()
    random = Random(seed)
    with ExitStack() as stack:
        buyer = stack.enter_context(Sandbox(scenario(seed)))
        environment, node = dict(ENVIRONMENT), None
        if broker == "rabbitmq":
            node, stop = start_rabbitmq()
            stack.callback(stop)
            environment["PINGPOST_BROKER_URL"] = node
        house = stack.enter_context(
            installed(folder, buyer, environment, "--workers", "2", "--posts", "2", "--no-flower")
        )
        chaos = Chaos(house, node, random, [leads / rate * share for share in (0.2, 0.5, 0.8)])
        breaking = threading.Thread(target=chaos.run, daemon=True)
        breaking.start()
        futures: dict[str, Future[Outcome]] = {}
        with Producer(house.broker_url, patience_s=60) as producer:
            start = time.monotonic()
            try:
                for number in range(leads):
                    name = f"c-{seed}-{number}"
                    futures[name] = _accepted(producer, lead(name, deadline_s=90))
                    time.sleep(max(0.0, start + (number + 1) / rate - time.monotonic()))
            finally:
                chaos.over.set()
                breaking.join()
            wait_until(lambda: all(each.done() for each in futures.values()), within_s=SETTLE_S)
            heard = {name: [each.result()] for name, each in futures.items() if each.done() and not each.exception()}
        url = ledger_default(house.data)
        wait_until(lambda: all(each.status and each.told for each in _leads(url).values()), within_s=30)
        report = buyer.book(calls=True)
        house.stop()
        books = Books(
            accepted=frozenset(futures),
            heard=heard,
            leads=_leads(url),
            attempts=_attempts(url),
            lines=house.lines(),
            log_text=house.log_text(),
            sales=report["sales"],
            doubles=report["doubles"],
            calls=report["calls"],
            interruptions=chaos.interruptions,
            call_s=POST_TIMEOUT_S + 1,
            secrets=(*IDENTITY, KEY),
        )
        return Result(
            broker, seed, leads, len(futures), compare(books), chaos.done, report["faults"],
            time.monotonic() - began, house.data,
        )  # fmt: skip


def _accepted(producer: Producer, sent: Mapping[str, Any]) -> Future[Outcome]:
    """Send a lead until the broker has confirmed it: the same id again where that is in doubt."""
    while True:
        future = producer.submit(sent)
        if not (future.done() and isinstance(future.exception(), BrokerAway)):
            return future


def _leads(url: str) -> dict[str, Entry]:
    rows = _rows(url, select(schema.leads))
    return {
        row.lead_id: Entry(
            status=row.status,
            token=row.token,
            price=_dollars(row.price_quoted if row.price_confirmed is None else row.price_confirmed),
            posted_at=None if row.posted_at is None else row.posted_at / 1000,
            told=row.told_at is not None,
        )
        for row in rows
    }


def _attempts(url: str) -> list[tuple[str, str | None, Decimal | None]]:
    return [(row.lead_id, row.token, _dollars(row.price)) for row in _rows(url, select(schema.attempts))]


def _dollars(micro: int | None) -> Decimal | None:
    return None if micro is None else Decimal(micro) / MICRO


def _rows(url: str, query: Any) -> list[Any]:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return list(connection.execute(query))
    finally:
        engine.dispose()

"""One run of chaos: a whole installation under load, what is done to it, and its books at the end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, select

from ops.sandbox import Sandbox
from ops.servers.rabbitmq import start_rabbitmq
from ops.servers.waiting import wait_until
from tasks.ledger import schema
from tests.chaos.blows import Chaos, EmbeddedServer, Node
from tests.chaos.books import MICRO, Books, Entry, Findings, compare
from tests.chaos.ears import Ears
from tests.chaos.plan import plan
from tests.integration.installation import IDENTITY, KEY, installed, lead
from workers.places import ledger_default
from workers.producer import BrokerAway, Outcome, Producer

BROKERS = ("rabbitmq", "embedded")
PING_TIMEOUT_S = 1.5
POST_TIMEOUT_S = 2.0
SETTLE_S = 180


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
    repeats: int
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
            "told_again": self.repeats,
            "doubles": sum(v.rule in ("sold twice", "posted again after a sale") for v in self.findings.violations),
            "chaos": dict(self.done),
            "buyer_faults": {str(fault): count for fault, count in self.faults.items()},
            "violations": [f"{v.rule}: {v.lead_id}" for v in self.findings.violations],
            "duration_s": round(self.duration_s, 1),
        }


def run(
    folder: Path, broker: str, *, leads: int, rate: float, seed: int, post_timeout_s: float = POST_TIMEOUT_S
) -> Result:
    """Run one installation under chaos in `folder`, at most `rate` leads a second, and compare the books."""
    began = time.monotonic()
    with ExitStack() as stack:
        buyer = stack.enter_context(Sandbox(scenario(seed)))
        node = None
        environment = {"PINGPOST_PING_TIMEOUT_S": str(PING_TIMEOUT_S), "PINGPOST_POST_TIMEOUT_S": str(post_timeout_s)}
        if broker == "rabbitmq":
            url, stop = start_rabbitmq()
            stack.callback(stop)
            environment["PINGPOST_BROKER_URL"] = url
            node = stack.enter_context(Node(url))
        house = stack.enter_context(
            installed(folder, buyer, environment, "--workers", "2", "--posts", "2", "--no-flower")
        )
        chaos = Chaos(house, node or EmbeddedServer(house), plan(seed, leads / rate))
        futures: dict[str, Future[Outcome]] = {}
        with Ears(house.broker_url) as ears, Producer(house.broker_url, patience_s=60) as producer:
            chaos.begin()
            start = time.monotonic()
            try:
                for number in range(leads):
                    name = f"c-{seed}-{number}"
                    futures[name] = accepted(producer, lead(name, deadline_s=90))
                    time.sleep(max(0.0, start + (number + 1) / rate - time.monotonic()))
            finally:
                chaos.end()
            wait_until(lambda: all(each.done() for each in futures.values()), within_s=SETTLE_S)
            ledger_url = ledger_default(house.data)
            wait_until(lambda: all(each.status and each.told for each in _leads(ledger_url).values()), within_s=30)
            # The ears hear what was told last: the exchange and the ledger's mark are a moment apart.
            wait_until(lambda: futures.keys() <= ears.heard.keys(), within_s=10)
            heard = {
                name: [*ears.heard[name], each.result()]
                for name, each in futures.items()
                if each.done() and not each.exception()
            }
        report = buyer.book(calls=True)
        house.stop()
        books = Books(
            accepted=frozenset(futures),
            heard=heard,
            leads=_leads(ledger_url),
            attempts=_attempts(ledger_url),
            lines=house.lines(),
            log_text=house.log_text(),
            sales=report["sales"],
            doubles=report["doubles"],
            calls=report["calls"],
            interruptions=chaos.posts_killed,
            call_s=post_timeout_s + 1,
            secrets=(*IDENTITY, KEY),
        )
        findings = compare(books)
        findings = replace(findings, violations=(*findings.violations, *chaos.shortfalls()))
        return Result(
            broker=broker,
            seed=seed,
            leads=leads,
            accepted=len(futures),
            findings=findings,
            done=chaos.done,
            faults=report["faults"],
            repeats=sum(len(heard[name]) - 2 for name in heard),
            duration_s=time.monotonic() - began,
            data=house.data,
        )


def accepted(producer: Producer, sent: Mapping[str, Any]) -> Future[Outcome]:
    """Send a lead until the broker has confirmed it: the same id again where that is in doubt."""
    while True:
        future = producer.submit(sent)
        if not (future.done() and isinstance(future.exception(), BrokerAway)):
            return future


def _leads(url: str) -> dict[str, Entry]:
    rows = _rows(url, select(schema.leads))
    waiting = select(schema.replies.c.lead_id).where(schema.replies.c.told_at.is_(None))
    untold = {row.lead_id for row in _rows(url, waiting)}
    return {
        row.lead_id: Entry(
            status=row.status,
            token=row.token,
            price=_dollars(row.price_quoted if row.price_confirmed is None else row.price_confirmed),
            posted_at=None if row.posted_at is None else row.posted_at / 1000,
            told=row.told_at is not None and row.lead_id not in untold,
            reason=row.reason,
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

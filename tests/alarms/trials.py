"""What sets each alarm off: whole installations, the sandbox for a buyer, and something that goes wrong.

A trial does one thing and tells which alerts must fire for it; `Watch` waits for them and keeps how long they took.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from ops.sandbox import Sandbox
from ops.servers.own import ports_in_a_row
from ops.servers.postgresql import new_database, start_postgresql
from ops.servers.rabbitmq import start_rabbitmq
from tasks.core.states import State
from tasks.ledger import LeadRow
from tests.faults.proxy import Proxy
from tests.integration.installation import Installation, installed, lead, wait_for
from tests.integration.upstream import Upstream
from tests.integration.zone import soon
from tests.servers.prometheus import Prometheus, prometheus
from workers.targets import FILE

# A scrape may take as long as the intake waits for what does not answer: 4 s.
EVERY_S: Final = 5
SOONER: Final = 30
WINDOWS_S: Final = 20
WITHIN_S: Final = 150

RULES: Final = [
    {"call": "ping", "zipcode": "02000", "code": 2000},
    {"call": "ping", "zipcode": "05000", "code": 5000},
    {"call": "ping", "zipcode": "07777", "code": 7777},
    {"call": "ping", "zipcode": "08000", "fault": "garbage", "first": 1},
    {"call": "post", "zipcode": "09000", "fault": "drop_after_sale"},
    {"call": "post", "zipcode": "10000", "latency_ms": 1500},
]
SCENARIO: Final[Mapping[str, Any]] = {"rules": RULES, "caps": [{"count": 1, "numcategory": 16005}]}


@dataclass(frozen=True)
class Fired:
    """An alert that fired, so many seconds after it was provoked."""

    alert: str
    labels: Mapping[str, str]
    after_s: float
    provoked_by: str


@dataclass
class Watch:
    """One installation under a Prometheus."""

    house: Installation
    buyer: Sandbox
    upstream: Upstream
    watcher: Prometheus
    fired: list[Fired] = field(default_factory=list)

    def expect(
        self,
        provoked_by: str,
        provoke: Callable[[], object] | AbstractContextManager[object],
        *alerts: Mapping[str, str],
    ) -> None:
        """Do something, or let it be so, until each of these alerts fires, each named by some of its labels.

        One that fires already would prove nothing: it is waited for until it is over.
        """
        wait_for(lambda: not any(map(self._fires, alerts)), WITHIN_S, lambda: f"still there: {self.watcher.firing()}")
        began = time.monotonic()
        waiting = list(alerts)

        def all_fire() -> bool:
            for labels in [labels for labels in waiting if self._fires(labels)]:
                waiting.remove(labels)
                after_s = round(time.monotonic() - began, 1)
                self.fired.append(Fired(labels["alertname"], labels, after_s, provoked_by))
            return not waiting

        def never() -> str:
            return f"{provoked_by}: never fired: {waiting}; firing: {self.watcher.firing()}"

        with provoke if isinstance(provoke, AbstractContextManager) else doing(provoke):
            wait_for(all_fire, WITHIN_S, never, every_s=0.2)

    def send(self, number: int, **fields: Any) -> None:
        """Send so many leads and wait for nothing."""
        self.upstream.send(*(lead(f"alarm-{next(_numbers)}", **fields) for _ in range(number)))

    @contextmanager
    def load(self, a_second: float, **fields: Any) -> Iterator[None]:
        """Send leads all the while."""
        over = threading.Event()

        def run() -> None:
            while not over.wait(1 / a_second):
                self.send(1, **fields)

        sender = threading.Thread(target=run, name="load")
        sender.start()
        try:
            yield
        finally:
            over.set()
            sender.join()

    @contextmanager
    def stopped(self, pid: int, *, leads: int = 0) -> Iterator[None]:
        """Let a process stand still, and send so many leads meanwhile, which can wait."""
        os.kill(pid, signal.SIGSTOP)
        try:
            self.send(leads, deadline_s=600)
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def broker_pid(self) -> int:
        """The embedded server's process."""
        return int(next(line["pid"] for line in self.house.lines("part.started", part="broker")))

    def _fires(self, labels: Mapping[str, str]) -> bool:
        return any(labels.items() <= found.items() for found in self.watcher.firing())


@contextmanager
def doing(act: Callable[[], object]) -> Iterator[None]:
    """Do it once."""
    act()
    yield


def _count() -> Iterator[int]:
    number = 0
    while True:
        yield number
        number += 1


_numbers = _count()


@contextmanager
def watched(
    folder: Path,
    scenario: Mapping[str, Any],
    environment: Mapping[str, str] | None = None,
    *,
    broker_url: str | None = None,
    every_s: int = EVERY_S,
    sooner: int = SOONER,
    windows_s: int = WINDOWS_S,
) -> Iterator[Watch]:
    """Run an installation, its buyer and its Prometheus. `broker_url`: upstream's own way to the broker."""
    with ExitStack() as stack:
        buyer = stack.enter_context(Sandbox(scenario))
        settings = {"PINGPOST_METRICS_PORT": str(ports_in_a_row(4)), **(environment or {})}
        house = stack.enter_context(installed(folder, buyer, settings, "--no-flower"))
        upstream = Upstream(broker_url or house.broker_url)
        stack.callback(upstream.close)
        watcher = stack.enter_context(
            prometheus(house.data / FILE, every_s=every_s, sooner=sooner, windows_s=windows_s)
        )
        seen = {"intake", "beat", "ping1", "post1"}
        wait_for(
            lambda: {found["metric"]["part"] for found in watcher.query('up{job="pingpost"} == 1')} == seen, WITHIN_S
        )
        yield Watch(house, buyer, upstream, watcher)


def alert(name: str, **labels: str) -> dict[str, str]:
    """Name an alert by some of its labels."""
    return {"alertname": name, **labels}


def the_buyer(folder: Path) -> Iterator[Fired]:
    """What the buyer does, on the embedded broker."""
    with watched(folder, SCENARIO, _midday()) as watch:
        watch.expect(
            "a ping is refused with 7777",
            lambda: watch.send(1, zipcode="07777"),
            alert("PingpostUnlistedCode", call="ping"),
            alert("PingpostAlarm"),
        )
        watch.expect(
            "a ping is answered with garbage",
            lambda: watch.send(1, zipcode="08000"),
            alert("PingpostUnreadableAnswers", call="ping"),
        )
        watch.expect(
            "four posts are sold and never answered", lambda: watch.send(4, zipcode="09000"), alert("PingpostUnknowns")
        )
        watch.expect(
            "a cap is met at midday",
            lambda: watch.upstream.sell(*(lead(f"cap-{n}", numcategory=16005) for n in range(2))),
            alert("PingpostCapEarly", scope="category:16005"),
        )
        watch.expect("all leads are refused with 5000", watch.load(4, zipcode="05000"), alert("PingpostNoSales"))
        watch.buyer.play({"rules": [{"call": "ping", "share": 0.15, "code": 1100}]})
        watch.expect("15 % of pings are refused with 1100", watch.load(6), alert("PingpostRateLimitPressing"))
        watch.buyer.play({"maintenance": [{"length_s": 600}]})
        watch.expect("maintenance", watch.load(2), alert("PingpostBuyerAway"))
        watch.buyer.play(SCENARIO)
        watch.house.command("gates", "open", "buyer")
        watch.expect(
            "a ping is refused with 2000",
            lambda: watch.send(1, zipcode="02000"),
            alert("PingpostAccountBlocked", code="2000"),
        )
        yield from watch.fired


def the_parts(folder: Path) -> Iterator[Fired]:
    """Parts that stand still, on the embedded broker."""
    with watched(folder, SCENARIO) as watch:
        none = alert("PingpostDeadLetters", queue="leads.dead")
        watch.expect("what is no lead comes", lambda: watch.upstream.send_raw(b"none"), none)
        for part, others in {
            "intake": [alert("PingpostUnseen", part="intake")],
            "beat": [alert("PingpostSweepMissing")],
            "ping1": [alert("PingpostLeadsWait"), alert("PingpostQueueStuck", queue="ping")],
        }.items():
            still = watch.stopped(watch.house.part(part).pid, leads=60 if part == "ping1" else 0)
            watch.expect(f"{part} stands still", still, alert("PingpostPartDown", part=part), *others)
        _silence(watch)
        yield from watch.fired


def _silence(watch: Watch) -> None:
    """The broker, which is the state store too, stands still in the midst of a post until its sale is late."""
    watch.send(1, zipcode="10000")
    lead_id = f"alarm-{next(_numbers) - 1}"

    def stands(state: State) -> LeadRow | None:
        row = watch.house.ledger.lead(lead_id)
        return row if row is not None and row.state is state else None

    wait_for(lambda: stands(State.POSTING), 20)
    with watch.stopped(watch.broker_pid()):
        watch.expect(
            "the broker stands still",
            nullcontext(),
            alert("PingpostSourceAway", source="broker"),
            alert("PingpostSourceAway", source="store"),
            alert("PingpostOutcomesUntold"),
        )
        sold = wait_for(lambda: stands(State.SOLD), 10)
        wait_for(lambda: sold.now_ms - sold.changed_ms > 31_000, 40)
    watch.expect("the broker is back, 31 s after a sale", nullcontext(), alert("PingpostLateOutcomes"))


def the_ledger(folder: Path) -> Iterator[Fired]:
    """RabbitMQ and PostgreSQL: the way to the ledger is cut, and leads lie at the front door."""
    with ExitStack() as stack:
        broker_url, stop_broker = start_rabbitmq()
        stack.callback(stop_broker)
        server, stop_server = start_postgresql()
        stack.callback(stop_server)
        database = stack.enter_context(new_database(server))
        way = urlsplit(database)
        proxy = stack.enter_context(Proxy(str(way.hostname), way.port or 0))
        environment = {
            "PINGPOST_BROKER_URL": broker_url,
            "PINGPOST_LEDGER_URL": database.replace(f":{way.port}", f":{proxy.port}"),
        }
        watch = stack.enter_context(watched(folder, SCENARIO, environment, broker_url=broker_url))

        def away() -> None:
            proxy.refuse()
            watch.send(300)  # more than an intake holds unacknowledged

        watch.expect(
            "the way to the ledger is cut",
            away,
            alert("PingpostSourceAway", source="ledger"),
            alert("PingpostQueueStuck", queue="leads"),
        )
        proxy.listen()
        yield from watch.fired


def the_reset(folder: Path) -> Iterator[Fired]:
    """A buyer whose day begins later than ours."""
    zone, moment = soon(folder, 60)
    with watched(folder, {"caps": [{"count": 1}]}, zone) as watch:
        assert [one["status"] for one in watch.upstream.sell(lead("day-1"), lead("day-2"))] == ["sold", "capped"]
        watch.house.wait_for_line("cap.reset", within_s=(moment - datetime.now(UTC)).total_seconds() + 20)

        def late() -> None:
            watch.upstream.sell(lead("day-3"))
            watch.buyer.new_day()

        watch.expect("the buyer's day begins after ours", late, alert("PingpostCapEarly"))
        with watch.load(1):
            watch.expect("the buyer sells again", nullcontext(), alert("PingpostResetLate", scope="category:16001"))
        yield from watch.fired


def _midday() -> dict[str, str]:
    """A zone in which it is about noon: the buyer's midnight is far."""
    behind = datetime.now(UTC).hour - 12
    return {"PINGPOST_BUYER_TIMEZONE": f"Etc/GMT{behind:+d}"}


TRIALS: Final[Mapping[str, Callable[[Path], Iterator[Fired]]]] = {
    "buyer": the_buyer,
    "parts": the_parts,
    "ledger": the_ledger,
    "reset": the_reset,
}

"""Whole installations against a buyer's caps, maintenance and rate, and against limits of the operator's own."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import func, select

from ops.sandbox import Sandbox
from tasks.core.outcome import Status
from tasks.ledger.schema import leads
from tests.integration.installation import Installation, installed, lead, wait_for
from workers.producer import Producer

SETTLE_S: Final = 120
PACE_LOOK_S: Final = 4


@dataclass(frozen=True, slots=True)
class Trial:
    """What a trial came to: `facts` for whoever reads them, `faults` where a bound was broken."""

    name: str
    facts: Mapping[str, Any]
    faults: tuple[str, ...] = field(default=())


@contextmanager
def office(
    folder: Path, scenario: Mapping[str, Any], workers: int, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[Installation, Sandbox, Producer]]:
    """An installation with so many workers, half of them for posts alone (one: one of each), and its buyer."""
    each = str(max(1, workers // 2))
    with (
        Sandbox(scenario) as buyer,
        installed(folder, buyer, environment, "--workers", each, "--posts", each, "--no-flower") as house,
        Producer(house.broker_url, patience_s=SETTLE_S) as producer,
    ):
        yield house, buyer, producer


def at_once(producer: Producer, number: int, prefix: str, **fields: Any) -> list[Future[dict[str, Any]]]:
    """Send so many leads as fast as they can be sent."""
    return [producer.submit(lead(f"{prefix}-{n}", **fields)) for n in range(number)]


def ends(futures: list[Future[dict[str, Any]]]) -> Counter[str]:
    """Wait for all outcomes, and count them."""
    return Counter(future.result(timeout=SETTLE_S)["status"] for future in futures)


def cap(folder: Path, *, workers: int = 8, cap_: int = 100, number: int = 1000) -> Trial:
    """The buyer's cap: sales exactly, and hardly a call after the first 4000 was answered."""
    with office(folder, {"caps": [{"count": cap_}], "latency_ms": [5, 25]}, workers) as (house, buyer, producer):
        told = ends(at_once(producer, number, "cap", deadline_s=120))
        book = buyer.book(calls=True)
        first = min(_at(call) for call in book["calls"] if call["result"] == "4000")
        after = [call for call in book["calls"] if _at(call) > first]
        in_log = Counter(line["status"] for line in house.lines("lead.outcome"))
        gates = [gate for gate in house.answer("gates", "--json") if gate["state"] == "closed"]
        facts = {
            "outcomes": dict(told),
            "sales at the buyer": len(book["sales"]),
            "sold in the ledger": _count(house, Status.SOLD),
            "sold in the log": in_log["sold"],
            "calls in all": len(book["calls"]),
            "calls begun after the first 4000": len(after),
            "of them answered 4000": sum(call["result"] == "4000" for call in after),
            "gates": [{name: gate[name] for name in ("scope", "turned_away", "sold", "payout")} for gate in gates],
        }
        faults = []
        if {len(book["sales"]), told["sold"], in_log["sold"], _count(house, Status.SOLD)} != {cap_}:
            faults.append(f"not {cap_} sales in each book")
        if told["sold"] + told["capped"] != number:
            faults.append("an outcome is missing, or is another")
        if len(after) > 16 * workers:  # what had passed the gate, of 32 threads each
            faults.append(f"{len(after)} calls after the first 4000")
        return Trial("cap", facts, tuple(faults))


def own_limit(folder: Path, *, workers: int = 8, limit: int = 100, number: int = 1000) -> Trial:
    """The operator's own limit under the same load: exactly so many sales, and no more."""
    rows = folder / "limits.csv"
    rows.write_text(f"scope,sales\ncategory:16001,{limit}\n")
    scenario = {"latency_ms": [5, 25], "rules": [{"call": "post", "share": 0.1, "code": 5000}]}
    with office(folder, scenario, workers, {"PINGPOST_LIMITS": str(rows)}) as (house, buyer, producer):
        told = ends(at_once(producer, number, "own", deadline_s=120))
        sales, sold = len(buyer.book()["sales"]), _count(house, Status.SOLD)
        (shown,) = (gate for gate in house.answer("gates", "--json") if gate["scope"] == "limit:category:16001")
        facts = {"outcomes": dict(told), "sales at the buyer": sales, "shown": shown["reason"]}
        wrong = {sales, sold, told["sold"]} != {limit}
        return Trial("own limit", facts, (f"not {limit} sales",) if wrong else ())


def maintenance(folder: Path, *, seconds: float = 60, rate: float = 50, workers: int = 2) -> Trial:
    """The buyer is under maintenance while leads come all the time: few calls, and full speed soon after its end."""
    with office(folder, {}, workers) as (house, buyer, producer):
        del house
        load = _Load(producer, rate)
        load.run(8)
        before = len(buyer.book()["sales"])
        buyer.play({"maintenance": [{"length_s": seconds}]})
        began = time.time()
        load.run(seconds + 20)
        told = ends(load.futures)
        calls = buyer.book(calls=True)["calls"]
        refused = sum(call["result"] == "1000" for call in calls)
        over = began + seconds
        sales = Counter(int(datetime.fromisoformat(sale["at"]).timestamp() - over) for sale in buyer.book()["sales"])
        sixth = sum(sales[second] for second in range(5, 15)) / 10
        facts = {
            "leads": len(load.futures),
            "outcomes": dict(told),
            "sales before": before,
            "calls made during it": refused,
            "sales by second after its end": [sales[second] for second in range(12)],
            "sales a second from the sixth on": round(sixth, 1),
        }
        faults = []
        if refused > max(10, 20 * seconds / 60):
            faults.append(f"{refused} calls during it")
        if sixth < 0.95 * rate:  # those that come, and those that have waited
            faults.append(f"{sixth:.1f} sales a second after 5 s")
        if set(told) - {"sold", "expired"}:
            faults.append("another outcome than sold or expired")
        return Trial("maintenance", facts, tuple(faults))


def pace(folder: Path, *, limit: float = 40, workers: int = 8, seconds: float = 60, demand: float = 35) -> Trial:
    """A buyer that allows so many calls a second: after 30 s, 90 to 100 % of it, and under 1 % of calls refused."""
    with office(folder, {"rate_limit": {"calls_per_s": limit}, "latency_ms": [5, 25]}, workers) as (
        house,
        buyer,
        producer,
    ):
        load = _Load(producer, demand)
        began = time.time()
        with ThreadPoolExecutor(1) as watcher:
            paces = watcher.submit(_paces, house, began + seconds)
            load.run(seconds)
        calls = [call for call in buyer.book(calls=True)["calls"] if _at(call) < began + seconds]
        told = ends(load.futures)
        late = [call for call in calls if _at(call) >= began + 30]
        taken = sum(call["result"] != "1100" for call in late) / (seconds - 30)
        refused = sum(call["result"] == "1100" for call in late) / max(1, len(late))
        overall = sum(call["result"] == "1100" for call in calls) / max(1, len(calls))
        facts = {
            "workers": workers,
            "outcomes": dict(told),
            "calls a second after 30 s": round(taken, 1),
            "refused after 30 s, %": round(100 * refused, 2),
            "refused in all, %": round(100 * overall, 2),
            "paces in force": paces.result(),
        }
        faults = []
        if not 0.9 * limit <= taken <= 1.03 * limit:
            faults.append(f"{taken:.1f} calls a second")
        if refused >= 0.01:
            faults.append(f"{100 * refused:.2f} % refused")
        return Trial("pace", facts, tuple(faults))


class _Load:
    """Leads at a steady rate."""

    def __init__(self, producer: Producer, rate: float) -> None:
        self.futures: list[Future[dict[str, Any]]] = []
        self._producer, self._rate = producer, rate

    def run(self, seconds: float) -> None:
        began, number = time.monotonic(), 0
        while (due := number / self._rate) < seconds:
            time.sleep(max(0.0, began + due - time.monotonic()))
            self.futures.append(self._producer.submit(lead(f"load-{len(self.futures)}")))
            number += 1


def _paces(house: Installation, until: float) -> list[float]:
    """Look every few seconds. A pace that was found may be gone at the end, where less was asked than it allows."""
    found = []
    while time.time() < until:
        (gate,) = (gate for gate in house.answer("gates", "--json") if gate["scope"] == "buyer")
        if pace := gate.get("calls_per_s"):
            found.append(pace)
        time.sleep(PACE_LOOK_S)
    return found


def _at(call: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(call["at"]).timestamp()


def _count(house: Installation, status: Status) -> int:
    asked = select(func.count()).select_from(leads).where(leads.c.status == status.value)
    wait_for(lambda: house.ledger.untold(older_than_ms=-1000, limit=1) == [], 30)
    number: int = house.ledger.read(lambda connection: connection.execute(asked).scalar_one())
    return number


TRIALS: Final[Mapping[str, Callable[[Path], Trial]]] = {
    "cap": cap,
    "own-limit": own_limit,
    "maintenance": maintenance,
    "pace-1": lambda folder: pace(folder, workers=1),
    "pace-8": lambda folder: pace(folder, workers=8),
}

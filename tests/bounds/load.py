"""Whole installations under more than they can do at once: what waits, for how long, and what that costs."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import func, select

from ops.bench.pacing import OpenLoop
from ops.servers.rabbitmq import start_rabbitmq
from tasks.ledger.schema import leads
from tests.bounds.trials import Trial, at_once, office
from tests.integration.installation import Installation, lead, wait_for

LONG_S: Final = "3000"  # nobody's deadline ends here
LOOK_S: Final = 0.5


def burst(folder: Path, *, pings: int = 5_000, posts: int = 100) -> Trial:
    """Leads of a single call behind a backlog of pings: they have a queue and a worker of their own."""
    with office(folder, {"latency_ms": [5, 25]}, 2, {"PINGPOST_DEADLINE_S": LONG_S}) as (house, buyer, producer):
        del buyer
        waiting = producer.submit_many(lead(f"ping-{n}") for n in range(pings))
        wait_for(lambda: house.lines("lead.outcome"), 60)
        loop = OpenLoop(50)
        sent = loop.run(posts, lambda number: producer.submit(lead(f"post-{number}", flow="one_step")))
        ends = Counter(future.result(timeout=600)["status"] for future in [*sent, *waiting])
        wait_for(lambda: len(loop.took_s) == posts, 60)
        took = sorted(loop.took_s.values())
        facts = {
            "outcomes": dict(ends),
            "posts' p50, ms": round(1000 * took[posts // 2]),
            "posts' p99, ms": round(1000 * took[posts * 99 // 100]),
        }
        return Trial("burst", facts, () if took[posts // 2] < 1 else ("posts wait behind pings",))


def crowd(folder: Path, *, workers: int = 12, number: int = 3_000) -> Trial:
    """Many workers on one ledger, which has one place to write in: each lead is sold once, and nobody is kept out."""
    with office(folder, {}, workers, {"PINGPOST_DEADLINE_S": LONG_S}) as (house, buyer, producer):
        for future in at_once(producer, 500, "warm"):
            future.result(timeout=120)
        began = time.monotonic()
        told = Counter(future.result(timeout=300)["status"] for future in at_once(producer, number, "crowd"))
        took_s = time.monotonic() - began
        sales = len(buyer.book()["sales"])
        away = len(house.lines("ledger.away"))
        facts = {
            "workers": workers,
            "outcomes": dict(told),
            "sales at the buyer": sales,
            "leads a second": round(number / took_s),
            "times that the ledger was away for a worker": away,
        }
        faults = [*(["a lead was not sold"] if told["sold"] != number else []), *(["it was away"] if away else [])]
        return Trial("crowd", facts, (*faults, *(["sold twice"] if sales != number + 500 else [])))


def long_queue(folder: Path, *, number: int = 100_000, memory: str = "256MB") -> Trial:
    """More leads than the broker may hold in memory, at once: nothing is lost, and no part grows with the queue.

    A RabbitMQ 3.10 needs most of 200 MB for itself: with less it stops all who publish, for good.
    """
    with ExitStack() as stack:
        url, stop = start_rabbitmq(config=f"vm_memory_high_watermark.absolute = {memory}")
        stack.callback(stop)
        environment = {"PINGPOST_BROKER_URL": url, "PINGPOST_DEADLINE_S": LONG_S}
        house, _, producer = stack.enter_context(office(folder, {}, 2, environment))
        for future in [producer.submit(lead(f"warm-{n}")) for n in range(500)]:
            future.result(timeout=120)
        with _peaks(house) as peaks:
            before, began = dict(peaks), time.monotonic()
            count = producer.publish_many(lead(f"long-{n}") for n in range(number))
            ended = select(func.count()).select_from(leads).where(leads.c.told_at.is_not(None))
            wait_for(
                lambda: house.ledger.read(lambda c: c.execute(ended).scalar_one()) >= number + 500, 1200, every_s=LOOK_S
            )
            took_s = time.monotonic() - began
        sold = house.ledger.read(lambda c: c.execute(ended.where(leads.c.status == "sold")).scalar_one())
        grown = {part: round(peaks[part] / before[part], 2) for part in peaks}
        facts = {"sent": count, "sold": sold - 500, "leads a second": round(number / took_s), "grown": grown}
        faults = [f"{part} grew by {times}" for part, times in grown.items() if times > 1.5]
        return Trial("long queue", facts, (*faults, *(["a lead is missing"] if sold != number + 500 else [])))


@contextmanager
def _peaks(house: Installation) -> Iterator[dict[str, int]]:
    """The most memory that each part has had meanwhile, in bytes."""
    parts = {name: house.part(name) for name in ("intake", "ping1", "post1")}
    peaks = {name: part.memory_info().rss for name, part in parts.items()}
    over = threading.Event()

    def watch() -> None:
        while not over.wait(LOOK_S):
            for name, part in parts.items():
                peaks[name] = max(peaks[name], part.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield peaks
    over.set()
    watcher.join()

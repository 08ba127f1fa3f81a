"""``python -m tests.chaos.rolling``: each part restarted in turn, under a steady load that must not feel it."""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.sandbox import Sandbox
from ops.servers.rabbitmq import start_rabbitmq
from ops.servers.waiting import wait_until
from tests.chaos.plan import PARTS
from tests.chaos.run import BROKERS, SETTLE_S, accepted
from tests.integration.installation import Installation, installed, lead, wait_for
from workers.producer import Outcome, Producer

QUIET_SHARE = 0.25  # of the load comes before the first restart, to compare with
READY = {"intake": "intake.ready", "beat": "beat.ready"}
WITHIN_S = 60


@dataclass(frozen=True, slots=True)
class Roll:
    """What a roll gave. Times in seconds, from the sending to the outcome, as the producer sees both."""

    accepted: int
    missing: tuple[str, ...]
    statuses: Counter[str]
    doubles: int
    exits: dict[str, str]
    before: tuple[float, ...]
    during: tuple[float, ...]

    @property
    def whole(self) -> bool:
        """Whether every lead was sold, once, and every part ended by itself."""
        return (
            not self.missing
            and not self.doubles
            and self.statuses == {"sold": self.accepted}
            and all(code == "0" for code in self.exits.values())
        )

    def facts(self) -> dict[str, Any]:
        """Give all as JSON takes it; durations in milliseconds."""
        return {
            "accepted": self.accepted,
            "missing": list(self.missing),
            "outcomes": dict(self.statuses),
            "doubles": self.doubles,
            "exits": self.exits,
            **{
                f"{when} p{percent} ms": round(_percentile(times, percent) * 1000, 1)
                for when, times in (("before", self.before), ("during", self.during))
                for percent in (50, 99)
                if times
            },
        }


def roll(
    folder: Path,
    broker: str,
    *,
    rate: float,
    seconds: float,
    environment: Mapping[str, str] | None = None,
    before: Callable[[], object] = lambda: None,
) -> Roll:
    """Send `rate` leads a second for `seconds`, or until the last part is back, and restart each part meanwhile.

    `before` is done under the same load, ahead of the first restart.
    """
    with ExitStack() as stack:
        buyer = stack.enter_context(Sandbox())
        environment = dict(environment or {})
        if broker == "rabbitmq":
            environment["PINGPOST_BROKER_URL"], stop = start_rabbitmq()
            stack.callback(stop)
        house = stack.enter_context(
            installed(folder, buyer, environment, "--workers", "2", "--posts", "2", "--no-flower")
        )
        producer = stack.enter_context(Producer(house.broker_url, patience_s=WITHIN_S))
        load = Load(producer, rate)
        stack.callback(load.end)
        load.start()
        began = time.monotonic()
        quiet = max(1, int(rate * seconds * QUIET_SHARE))
        wait_for(lambda: len(load.futures) >= quiet, seconds + WITHIN_S)
        before()
        first_at = time.monotonic()
        exits = {part: restart(house, part) for part in PARTS}
        last_at = time.monotonic()
        wait_until(lambda: time.monotonic() - began >= seconds, within_s=seconds)
        load.end()
        wait_until(lambda: all(each.done() for each in load.futures.values()), within_s=SETTLE_S)
        heard = {name: each.result() for name, each in load.futures.items() if each.done() and not each.exception()}
        took = [(load.sent_at[name], load.told_at[name] - load.sent_at[name]) for name in heard]
        book = buyer.book()
        return Roll(
            accepted=len(load.futures),
            missing=tuple(sorted(load.futures.keys() - heard.keys())),
            statuses=Counter(outcome["status"] for outcome in heard.values()),
            doubles=len(book["doubles"]) + len(book["resold"]),
            exits=exits,
            before=tuple(took_s for at, took_s in took if at < first_at),
            during=tuple(took_s for at, took_s in took if first_at <= at <= last_at),
        )


class Load:
    """Sends leads at a steady pace, in a thread, and takes the time of each outcome."""

    def __init__(self, producer: Producer, rate: float) -> None:
        self.futures: dict[str, Future[Outcome]] = {}
        self.sent_at: dict[str, float] = {}
        self.told_at: dict[str, float] = {}
        self._producer = producer
        self._pause_s = 1 / rate
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self.start = self._thread.start

    def end(self) -> None:
        self._over.set()
        self._thread.join(WITHIN_S)

    def _send(self) -> None:
        start = time.monotonic()
        number = 0
        while not self._over.wait(max(0.0, start + number * self._pause_s - time.monotonic())):
            name = f"r-{number}"
            self.sent_at[name] = time.monotonic()
            future = accepted(self._producer, lead(name))
            future.add_done_callback(lambda _, name=name: self.told_at.setdefault(name, time.monotonic()))
            self.futures[name] = future
            number += 1


def restart(house: Installation, part: str) -> str:
    """Ask a part to end, wait until it is ready again, and tell how it ended."""
    event = READY.get(part, "worker.ready")
    died, ready = len(house.lines("part.died", part=part)), len(house.lines(event))
    house.part(part).terminate()
    wait_for(lambda: len(house.lines("part.died", part=part)) > died, WITHIN_S, lambda: f"{part} does not end")
    wait_for(lambda: len(house.lines(event)) > ready, WITHIN_S, lambda: f"{part} does not come back")
    return str(house.lines("part.died", part=part)[-1]["exit"])


def _percentile(times: Sequence[float], percent: int) -> float:
    return sorted(times)[math.ceil(len(times) * percent / 100) - 1]


def main() -> int:
    """Roll, print, and give the exit code: 1 where a lead was lost, doubled or not sold, or a part did not end well."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.rolling", description=__doc__)
    parser.add_argument("--broker", choices=[*BROKERS, "both"], default="both")
    parser.add_argument("--rate", type=float, default=50, help="leads a second")
    parser.add_argument("--seconds", type=float, default=60)
    asked = parser.parse_args()
    whole = True
    for broker in BROKERS if asked.broker == "both" else (asked.broker,):
        with tempfile.TemporaryDirectory(prefix="pingpost-rolling-") as folder:
            rolled = roll(Path(folder), broker, rate=asked.rate, seconds=asked.seconds)
        whole = whole and rolled.whole
        sys.stdout.write(json.dumps({"broker": broker, **rolled.facts()}, indent=1) + "\n")
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())

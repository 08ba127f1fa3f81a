"""pingpost itself, as users run it: ``pingpost up --plain`` without Flower, on a given broker and ledger."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import Any, Final, Literal

import psutil
from kombu import Queue

from ops.bench.buyer import Buyer, Stalled
from ops.servers.own import OwnServer
from ops.servers.waiting import wait_until
from workers import topology
from workers.broker import length
from workers.producer import Producer
from workers.settings import PREFIX
from workers.transport import connect_to

READY_S: Final = 60
TOLD_S: Final = 10
STOP_S: Final = 60
UP: Final = (sys.executable, "-m", "workers.cli", "up", "--plain", "--no-flower")
# What is told is kept, as upstream would: a broker that may drop it has less to do.
HEARD: Final = Queue("bench.outcomes", exchange=topology.outcomes, routing_key="#", durable=True)
_CREDENTIALS: Final = {"PINGPOST_PARTNER_ID": "BENCH", "PINGPOST_KEY": "key-of-the-bench", "PINGPOST_SUBID": "123"}
_NUMBERS: Final = count()


def lead(number: int, **fields: str) -> dict[str, Any]:
    """Give a lead whose post has fourteen fields, as a peer's has: of its own, the credentials, format and token."""
    return {
        "lead_id": f"bench-{number}",
        "numcategory": 16001,
        "transfer_type": 1,
        "zipcode": "33139",
        "state": "FL",
        "firstname": "Hildegard",
        "lastname": "Quaxelbrunn",
        "telephone": "8772681223",
        "email": "hildegard.q@zymurgy.example",
        **fields,
    }


@dataclass(frozen=True, slots=True)
class Form:
    """How pingpost is run: its workers, each of pings and posts as the peers' are; who posts (None: as it is shipped).

    `threads` of each worker where they are not the default; further `settings`.
    """

    workers: int = 2
    post_by: Literal["ping", "broker"] | None = None
    threads: int | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    def arguments(self) -> tuple[str, ...]:
        """Give the arguments of `pingpost up`."""
        threads = () if self.threads is None else ("--concurrency", str(self.threads))
        return ("--workers", str(self.workers), "--posts", "0", *threads)

    def environment(self) -> dict[str, str]:
        """Give the settings."""
        return {**({"PINGPOST_POST_BY": self.post_by} if self.post_by else {}), **self.settings}


@dataclass(slots=True)
class Installation:
    """One that runs."""

    broker_url: str
    up: psutil.Process

    def feed(self, leads: int) -> None:
        """See `Contender`."""
        with Producer(self.broker_url) as producer:
            producer.publish_many(leads_from(leads))

    def workers(self) -> Sequence[psutil.Process]:
        """Give workers and intake. Who keeps them alive and passes their lines on is beside them, and so is beat."""
        return [part for part in self.up.children() if _is_measured(part.cmdline())]

    def memory(self) -> dict[str, int]:
        """Give the resident memory of intake and workers, in bytes, by the part's name."""
        return {_name(part.cmdline()): part.memory_info().rss for part in self.workers()}

    def done_at(self, leads: int, last_at: float) -> float:
        """Wait until so many outcomes were told to the exchange, and give when they were; not before `last_at`.

        Raises:
            Stalled: they were not, in time.
        """
        with connect_to(self.broker_url) as connection:
            if not wait_until(lambda: length(connection, HEARD.name) >= leads, within_s=TOLD_S, every_s=0.01):
                raise Stalled(f"{length(connection, HEARD.name)} of {leads} outcomes were told")
        return max(last_at, time.monotonic())


def leads_from(count: int) -> Iterator[dict[str, Any]]:
    """Give so many leads that no earlier call gave."""
    return (lead(number) for number in islice(_NUMBERS, count))


def environment(home: Path, buyer: Buyer, settings: Mapping[str, str]) -> dict[str, str]:
    """Give the environment of an installation in a folder: none of the settings of whoever runs the bench."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(PREFIX)},
        "PINGPOST_DATA": str(home / "data"),
        "PINGPOST_DEADLINE_S": "600",  # what is measured may wait for its turn
        **_CREDENTIALS,
        **buyer.settings(),
        **settings,
    }


def _name(arguments: Sequence[str]) -> str:
    return arguments[arguments.index("-n") + 1].partition(".")[0] if "-n" in arguments else arguments[-1]


def _is_measured(arguments: Sequence[str]) -> bool:
    return "intake" in arguments or ("celery" in arguments and "worker" in arguments)


@contextmanager
def installation(form: Form, buyer: Buyer, places: Mapping[str, str]) -> Iterator[Installation]:
    """Run one in a folder of its own; `places` are the settings of broker and ledger, none the embedded ones.

    Raises:
        Stalled: it does not start; the text has the end of its log.
    """
    own = OwnServer("bench-up")
    try:
        if given := places.get("PINGPOST_BROKER_URL"):
            clear(given)
        process = own.run([*UP, *form.arguments()], env=environment(own.home, buyer, {**places, **form.environment()}))
        wait_until(lambda: process.poll() is not None or _is_ready(own.home), within_s=READY_S)
        if process.poll() is not None or not _is_ready(own.home):
            raise Stalled(f"pingpost up does not start: {own.output}")
        broker_url = (own.home / "data" / "broker-url").read_text(encoding="utf-8").strip()
        with connect_to(broker_url) as connection:
            HEARD(connection.default_channel).declare()
        try:
            yield Installation(broker_url, psutil.Process(process.pid))
        finally:
            _stop(process)
    finally:
        own.stop()


def clear(broker_url: str) -> None:
    """Remove every queue that an earlier installation may have left on a broker that is the bench's own."""
    with connect_to(broker_url) as connection:
        for name in (*topology.OURS, HEARD.name):
            with suppress(*connection.channel_errors), connection.channel() as channel:
                channel.queue_delete(name)


def _is_ready(home: Path) -> bool:
    log = (home / "output").read_bytes()
    return any(json.loads(line).get("event") == "up.ready" for line in log.splitlines() if line.startswith(b"{"))


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)

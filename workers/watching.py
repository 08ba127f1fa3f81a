"""What the screen of ``pingpost up`` shows, gathered once a second in a thread of its own."""

from __future__ import annotations

import json
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from tasks.core.outcome import Status
from tasks.gates import Gate
from tasks.ledger import LedgerError
from tasks.ledger import today as sums
from tasks.ledger.rows import from_ms, to_ms
from tasks.ledger.today import Waiting
from workers.broker import length
from workers.services import Wiring
from workers.settings import Settings
from workers.topology import LEADS, PING, POST
from workers.transport import connect_to

EVERY_S: Final = 1.0
SECONDS: Final = 60  # of the plot
# What ended so short a while ago may not be committed yet: it is counted with the next look.
UNSETTLED_MS: Final = 2_000
TROUBLES: Final = 6
AWAY: Final = (LedgerError, RedisError, OperationalError, OSError)
_LOUD: Final = ("error", "critical", "warning")


@dataclass(frozen=True, slots=True)
class Trouble:
    """A line of the log that somebody should look at. `lead_id` and `reason` are empty where it has none."""

    at: str
    level: str
    part: str
    event: str
    lead_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Look:
    """What is known at one moment. `counts` and `payout_micros` are of the buyer's day; `missing` could not be read."""

    counts: Mapping[Status, int] = field(default_factory=dict)
    payout_micros: int = 0
    by_second: tuple[tuple[int, int], ...] = ()
    waiting: Waiting = Waiting(0, 0)  # noqa: RUF009 - it is frozen
    gates: tuple[Gate, ...] = ()
    depths: Mapping[str, int] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


class Watch:
    """Looks once a second until it is ended. `look` is the newest, and `troubles` are the last, oldest first."""

    def __init__(self, settings: Settings) -> None:
        """Take settings that name broker, store and ledger."""
        self._wiring = Wiring(settings)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._day = ""
        self._counted_ms = 0
        self._counts: Counter[Status] = Counter()
        self._payout = 0
        self.look = Look()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """End."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while True:
            self.look = self.take()
            if self._over.wait(EVERY_S):
                return

    def take(self) -> Look:
        """Look once. What cannot be read is named, and the rest is shown."""
        missing = []
        found: dict[str, object] = {}
        for name, read in (("ledger", self._ledger), ("gates", self._gates), ("broker", self._broker)):
            try:
                found |= read()
            except AWAY:
                missing.append(name)
        return Look(**found, missing=tuple(missing))  # type: ignore[arg-type]  # each reader gives fields of a look

    def _ledger(self) -> dict[str, object]:
        ledger, calendar = self._wiring.ledger, self._wiring.calendar
        now = ledger.now_ms()
        day = calendar.day(from_ms(now))
        if day.isoformat() != self._day:
            self._day, self._counted_ms = day.isoformat(), to_ms(calendar.begins(day))
            self._counts.clear()
            self._payout = 0
        ends = max(now - UNSETTLED_MS, self._counted_ms)
        settled = ledger.read(lambda connection: sums.ended(connection, self._counted_ms, ends))
        self._counted_ms = ends
        self._counts.update(settled.counts)
        self._payout += settled.payout_micros
        fresh = ledger.read(lambda connection: sums.ended(connection, ends, now + 1))
        return {
            "counts": self._counts + Counter(fresh.counts),
            "payout_micros": self._payout + fresh.payout_micros,
            "by_second": tuple(ledger.read(lambda connection: sums.by_second(connection, SECONDS))),
            "waiting": ledger.read(sums.waiting),
        }

    def _gates(self) -> dict[str, object]:
        return {"gates": tuple(self._wiring.gates.all())}

    def _broker(self) -> dict[str, object]:
        with connect_to(self._wiring.places.broker_url, connect_timeout=2) as connection:
            return {"depths": {queue: length(connection, queue) for queue in (LEADS, PING, POST)}}


class Troubles:
    """Remembers the last lines of the log that somebody should look at."""

    def __init__(self) -> None:
        self._last: deque[Trouble] = deque(maxlen=TROUBLES)

    def __iter__(self) -> Iterator[Trouble]:
        return iter(tuple(self._last))

    def take(self, part: str, lines: Iterable[bytes]) -> None:
        """Look through a part's lines."""
        for line in lines:
            if not any(level.encode() in line for level in _LOUD):
                continue
            try:
                told = json.loads(line)
            except ValueError:
                continue
            if isinstance(told, dict) and told.get("level") in _LOUD:
                words = (str(told.get(name) or "") for name in ("timestamp", "level", "event", "lead_id", "reason"))
                at, level, event, lead_id, reason = words
                self._last.append(Trouble(at, level, part, event, lead_id, reason))

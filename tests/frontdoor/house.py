"""A front door of the tests': everything real but the chain behind it, which is written down."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import kombu
from structlog.testing import capture_logs

from ops.servers.waiting import wait_until
from tasks.absence import Absence
from tasks.core.lead import Flow, Lead
from tasks.core.money import Money
from tasks.core.protocol import Call, Protocol
from tasks.core.validation import Defaults
from tasks.ledger import Ledger
from workers.intake import Intake, Reader, Receiver, Source, open_source
from workers.intake.loop import LEADS, Events, Growing, Receives
from workers.places import is_store
from workers.tellers import open_teller

DEFAULTS = Defaults(flow=Flow.PING_POST, deadline_s=20.0, subid="", test_mode=False)
FAST = Growing(first_s=0.02, most_s=0.1)
D = TypeVar("D", bound="Door")
LEAD: dict[str, Any] = {"numcategory": 16001, "subid": "123", "transfer_type": 1, "zipcode": "33139"}


def lead(lead_id: str, **fields: Any) -> dict[str, Any]:
    """A valid lead."""
    return {"lead_id": lead_id, **LEAD, **fields}


def route(offered: Lead) -> tuple[Call, Money | None]:
    """Every lead is pinged, unless it says otherwise itself."""
    if offered.flow is Flow.ONE_STEP:
        return Call.ONE_STEP, None
    return (Call.DIRECT_POST, offered.price) if offered.flow is Flow.DIRECT_POST else (Call.PING, None)


class Door:
    """An intake in a thread; `lines` are its log."""

    def __init__(self, source: Source, receiver: Receives, ledger: Ledger, events: Events = LEADS) -> None:
        self.ledger = ledger
        self.lines: list[Any] = []
        self._ready = events.ready
        self._intake = Intake(source, receiver, events=events, growing=FAST)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._intake.run, args=[self._stop])

    def open(self) -> None:
        self._thread.start()
        self.wait_for(lambda: self._ready in self.events, "the door is open")

    def close(self) -> None:
        self._stop.set()
        self._thread.join(20)
        assert not self._thread.is_alive(), "the intake does not stop"

    @property
    def events(self) -> list[str]:
        return [line["event"] for line in self.lines]

    def wait_for(self, holds: Callable[[], object], what: str, within_s: float = 20) -> None:
        """Wait until something is true."""
        assert wait_until(lambda: bool(holds()), within_s=within_s, every_s=0.01), f"not in {within_s} s: {what}"


class FrontDoor(Door):
    """The door for leads. `started` are the chains that it began, in their order."""

    def __init__(
        self,
        url: str,
        ledger: Ledger,
        protocol: Protocol,
        *,
        start: Callable[[str, Call], object] | None = None,
        source: Source | None = None,
        test: bool = False,
    ) -> None:
        self.started: list[tuple[str, Call]] = []
        reader = Reader(protocol, DEFAULTS, route, test=test, keeps_keys=is_store(url))
        begin = start or (lambda lead_id, call: self.started.append((lead_id, call)))
        self.source = source or open_source(url)
        self.receiver = Receiver(reader, ledger, open_teller(url, Absence("broker"), 4), begin)
        super().__init__(self.source, self.receiver, ledger)

    def close(self) -> None:
        super().close()
        self.receiver.teller.close()

    def outcome_lines(self) -> list[dict[str, Any]]:
        return [dict(line) for line in self.lines if line["event"] == "lead.outcome"]

    def wait_started(self, *lead_ids: str) -> None:
        """Wait until these leads are on their way, and see that no other is."""
        self.wait_for(lambda: len(self.started) >= len(lead_ids), f"{lead_ids} started, not {self.started}")
        assert [lead_id for lead_id, _ in self.started] == list(lead_ids)


@contextmanager
def open_door(url: str, ledger: Ledger, protocol: Protocol, **options: Any) -> Iterator[FrontDoor]:
    """Open a front door for as long as the block lasts."""
    with opened(FrontDoor(url, ledger, protocol, **options)) as door:
        yield door


@contextmanager
def opened(door: D) -> Iterator[D]:
    """Keep a door open for as long as the block lasts."""
    with capture_logs() as lines:
        door.lines = lines
        door.open()
        try:
            yield door
        finally:
            door.close()
            kombu.pools.reset()

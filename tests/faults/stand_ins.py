"""Stand-ins around a real ledger: a buyer by script, gates that let go, a teller that remembers."""

# ruff: noqa: ARG002 - stand-ins keep the signatures of what they stand for
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from tasks.base import Step
from tasks.buyers.port import Exchange, Offer
from tasks.buyers.registry import load_protocol
from tasks.core.bid import Bid
from tasks.core.caps import Calendar
from tasks.core.lead import Flow
from tasks.core.money import Money
from tasks.core.protocol import Call
from tasks.core.reasons import Answer
from tasks.core.sale import Sale
from tasks.core.states import State
from tasks.core.validation import Defaults, read_lead
from tasks.gates import Admission, Ask, Go
from tasks.ledger import Arrival, Ledger, Reply, migrate
from tasks.services import Rules, Services
from tests.integration.installation import lead

BID = Bid(Money(9_500_000), "t0ken", 60)
SALE = Sale("18550000001", Money(9_500_000))


@dataclass
class Buyer:
    """Answers by the script, and remembers what it was asked with."""

    script: list[Answer]
    timeouts: list[float] = field(default_factory=list)
    during: Callable[[], object] = lambda: None

    def ask(self, call: Call, offer: Offer, timeout_s: float) -> Exchange:
        self.timeouts.append(timeout_s)
        self.during()
        return Exchange(call, self.script.pop(0), 200, 1.0, {}, "")


@dataclass
class Gates:
    """Lets every call go; `heard` may be told to fail."""

    on_heard: Callable[[], object] = lambda: None

    def admit(self, ask: Ask) -> Admission:
        return Go("ticket")

    def leave(self, lead_id: str) -> None:
        pass

    def heard(self, go: Go, heard: object, **_: object) -> None:
        self.on_heard()


@dataclass
class Teller:
    """Remembers whom it told; may be told to fail."""

    told: list[str] = field(default_factory=list)
    fault: Callable[[str], Exception | None] = lambda _: None

    def tell(self, outcome: Any, replies: Sequence[Reply], now: datetime, *, replayed: bool = False) -> None:
        if (fault := self.fault(outcome["lead_id"])) is not None:
            raise fault
        self.told.append(outcome["lead_id"])


@contextmanager
def standing_in(folder: Path) -> Iterator[Services]:
    """What a step needs, with a new ledger in `folder`."""
    url = f"sqlite:///{folder / 'ledger.sqlite3'}"
    migrate(url)
    ledger = Ledger.open(url)
    rules = Rules(
        floor=Money(0),
        ping_timeout_s=2,
        post_timeout_s=8,
        partner_id="XYZ",
        cap_scope="category",
        calendar=Calendar(ZoneInfo("America/New_York"), time(0)),
        send_floor=False,
        send_price=False,
        retention_days=30,
    )
    yield Services(ledger, Buyer([]), Gates(), Teller(), load_protocol(None), rules, lambda: 0.5)  # type: ignore[arg-type]
    ledger.close()


def arrive(services: Services, lead_id: str, call: Call = Call.PING, *, deadline_s: float = 20) -> None:
    """Take a lead in."""
    read = read_lead(lead(lead_id), services.protocol, Defaults(Flow.PING_POST, 20, "123", test_mode=False))
    services.ledger.accept([Arrival(replace(read, deadline_s=deadline_s), call, test=False)])


def state(services: Services, lead_id: str) -> State:
    row = services.ledger.lead(lead_id)
    assert row is not None
    return row.state


class App:
    """What a task asks of its application."""

    def __init__(
        self, services: Services, bury: Callable[[], object] = lambda: None, backlog: Callable[[], int] = lambda: 0
    ) -> None:
        self.services = services
        self.backlog = backlog
        self._bury = bury
        self.buried: list[str] = []

    def bury(self, task: str, lead_id: str, cause: str) -> None:
        self._bury()
        self.buried.append(lead_id)


def step(app: App) -> Step:
    """A task of this application."""
    kind = type("Ping", (Step,), {"app": app, "name": "ping"})
    return kind()  # type: ignore[no-any-return]

"""Rules of a single step that no outside fault can be timed to hit: with a real ledger, and stand-ins around it."""

# ruff: noqa: ARG002 - stand-ins keep the signatures of what they stand for
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from amqp.exceptions import AccessRefused
from kombu.exceptions import OperationalError
from redis.exceptions import ResponseError
from structlog.testing import capture_logs

from tasks import upkeep
from tasks.base import Step
from tasks.buyers.port import Exchange, Offer
from tasks.buyers.registry import load_protocol
from tasks.core.bid import Bid
from tasks.core.lead import Flow
from tasks.core.money import Money
from tasks.core.protocol import Call
from tasks.core.reasons import Answer, Unanswered
from tasks.core.sale import Sale
from tasks.core.states import State
from tasks.core.validation import Defaults, read_lead
from tasks.gates import Admission, Go
from tasks.ledger import Arrival, Ledger, Reply, migrate
from tasks.results import GoOn, Later, Stop
from tasks.services import Rules, Services
from tasks.steps import take
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

    def admit(self, scope: str, budget_ms: int) -> Admission:
        return Go("ticket")

    def heard(self, ticket: str, heard: object, **_: object) -> None:
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


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite3'}"
    migrate(url)
    ledger = Ledger.open(url)
    rules = Rules(
        floor=Money(0),
        ping_timeout_s=2,
        post_timeout_s=8,
        partner_id="XYZ",
        cap_scope="category",
        zone=ZoneInfo("America/New_York"),
        reset=time(0),
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


def test_a_state_store_that_hangs_after_a_sale_keeps_nobody_waiting_for_it(services: Services):
    """The sale is in the ledger and told before the store hears of the answer."""
    states: list[State] = []
    teller = Teller()
    hang = Gates(lambda: states.append(state(services, "s-1") if teller.told else State.POSTING))
    sure = replace(services, buyer=Buyer([SALE]), gates=hang, teller=teller)
    arrive(sure, "s-1", Call.ONE_STEP)

    assert take(sure, Call.ONE_STEP, "s-1") == Stop()

    assert states == [State.SOLD]
    assert teller.told == ["s-1"]


def test_a_broker_that_is_away_between_ping_and_post_does_not_end_the_lead(services: Services):
    """Celery calls a next link that cannot be published a failure of the task; the lead still has its bid."""
    sure = replace(services, buyer=Buyer([BID]))
    arrive(sure, "s-1")
    assert take(sure, Call.PING, "s-1") == GoOn()
    app = App(sure)

    for away in (OperationalError("gone"), AccessRefused("no"), ConnectionResetError()):
        step(app).on_failure(away, "id", ["s-1"], {}, None)

    assert state(sure, "s-1") is State.BID
    assert app.buried == []


def test_a_fault_of_ours_ends_a_lead_as_failed_and_is_kept(services: Services):
    """The cause is with the dead letters, and says nothing of the caller's."""
    arrive(services, "s-1")
    app = App(services)

    with capture_logs() as lines:
        step(app).on_failure(ValueError("Hildegard"), "id", ["s-1"], {}, None)

    assert state(services, "s-1") is State.FAILED
    assert app.buried == ["s-1"]
    assert "Hildegard" not in str(lines)


def test_a_fault_of_ours_in_mid_post_leaves_the_lead_to_the_sweep(services: Services):
    """It may be sold: it is never `failed`."""
    fault = replace(services, buyer=Buyer([], during=lambda: 1 / 0))
    arrive(fault, "s-1", Call.ONE_STEP)
    with pytest.raises(ZeroDivisionError):
        take(fault, Call.ONE_STEP, "s-1")

    step(App(fault)).on_failure(ZeroDivisionError(), "id", ["s-1"], {}, None)

    assert state(fault, "s-1") is State.POSTING


def test_dead_letters_that_cannot_be_sent_do_not_keep_the_message(services: Services):
    """An exception from here would leave it neither acknowledged nor rejected, and its place in the prefetch taken."""

    def away() -> None:
        raise OperationalError("gone")

    arrive(services, "s-1")

    step(App(services, away)).on_failure(ValueError(), "id", ["s-1"], {}, None)

    assert state(services, "s-1") is State.FAILED


def test_a_post_gets_no_more_time_than_remains_and_at_least_a_second(services: Services):
    """The buyer's eight seconds are cut to the deadline."""
    for deadline_s, least, most in ((60, 8, 8), (5, 4, 5), (0.8, 1, 1)):
        buyer = Buyer([Unanswered("no connection", never_sent=True)])
        short = replace(services, buyer=buyer)
        arrive(short, f"s-{deadline_s}", Call.ONE_STEP, deadline_s=deadline_s)
        assert isinstance(take(short, Call.ONE_STEP, f"s-{deadline_s}"), Later)
        assert least <= buyer.timeouts[0] <= most


def test_a_copy_of_a_message_neither_pings_nor_posts_beside_the_first(services: Services):
    """Whatever Celery hands out twice: one claim wins."""
    seen: list[object] = []

    def copy() -> None:
        seen.append(take(both, Call.ONE_STEP, "s-1", redelivered=True))

    buyer = Buyer([SALE], during=copy)
    both = replace(services, buyer=buyer)
    arrive(both, "s-1", Call.ONE_STEP)

    take(both, Call.ONE_STEP, "s-1")
    take(both, Call.ONE_STEP, "s-1", redelivered=True)

    assert seen == [Stop()]
    assert len(buyer.timeouts) == 1


def test_the_ping_of_a_copy_that_took_over_wins_and_the_first_one_s_token_is_dropped(services: Services):
    """A connection was cut in mid-ping, and both copies run to their ends."""

    def take_over() -> None:
        buyer.during = lambda: None
        assert take(both, Call.PING, "s-1", redelivered=True) == GoOn()

    late = replace(BID, token="late")
    buyer = Buyer([BID, late], during=take_over)
    both = replace(services, buyer=buyer)
    arrive(both, "s-1")

    assert take(both, Call.PING, "s-1") == Stop()

    row = both.ledger.lead("s-1")
    assert row is not None
    assert (row.state, row.token) == (State.BID, BID.token)


@pytest.fixture
def ended(services: Services) -> Services:
    """Three leads that ended while the broker was away."""
    away = replace(services, teller=Teller(fault=lambda _: OperationalError("gone")), buyer=Buyer([SALE] * 3))
    for number in range(3):
        arrive(away, f"s-{number}", Call.ONE_STEP)
        take(away, Call.ONE_STEP, f"s-{number}")
    return services


def sweep(services: Services, *, backlog: int = 0) -> list[str]:
    """Sweep once, as if some seconds had passed, and give the leads that were started anew."""
    started: list[str] = []

    class Swept:
        app = App(services, backlog=lambda: backlog)

    class Started:
        def __init__(self, lead_id: str, _call: Call) -> None:
            self._lead_id = lead_id

        def apply_async(self) -> None:
            started.append(self._lead_id)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upkeep, "UNTOLD_MS", -1)
        patch.setattr(upkeep, "LOST_MESSAGE_MS", -1)
        patch.setattr(upkeep, "LONG_QUEUE", 2)
        patch.setattr(upkeep, "sale_of", Started)
        upkeep.sweep.run.__func__(Swept())
    return started


def untold(services: Services) -> list[str]:
    return [one.lead_id for one in services.ledger.untold(older_than_ms=-1, limit=10)]


def test_one_outcome_that_cannot_be_told_does_not_hold_up_the_others(ended: Services):
    """A fault of ours in one lead is an alarm, and the sweep goes on."""
    teller = Teller(fault=lambda lead_id: ValueError("Hildegard") if lead_id == "s-0" else None)

    with capture_logs() as lines:
        sweep(replace(ended, teller=teller))

    assert teller.told == ["s-1", "s-2"]
    assert untold(ended) == ["s-0"]
    assert [line["lead_id"] for line in lines if line["event"] == "alarm"] == ["s-0"]
    assert "Hildegard" not in str(lines)


def test_a_sweep_does_not_wait_for_an_absent_broker_once_for_each_outcome(ended: Services):
    """The first refusal stands for all."""
    asked: list[str] = []

    def fault(lead_id: str) -> Exception:
        asked.append(lead_id)
        return OperationalError("gone")

    sweep(replace(ended, teller=Teller(fault=fault)))

    assert len(asked) == 1
    assert len(untold(ended)) == 3


def test_an_answer_to_an_address_that_is_no_list_is_not_told_for_ever(ended: Services):
    """A stranger's key of another type: everyone else has been told, and nothing mends it."""
    wrong = ResponseError("Command # 1 of pipeline caused error: WRONGTYPE Operation against a key")

    sweep(replace(ended, teller=Teller(fault=lambda _: wrong)))

    assert untold(ended) == []


def test_a_lead_that_nobody_works_on_is_never_left_without_an_end(services: Services):
    """Whatever state it stands in when its time is over, the sweep gives it its outcome."""
    arrive(services, "s-1", deadline_s=0.05)
    sure = replace(services, teller=Teller())
    end = datetime.now(UTC).timestamp() + 5
    while state(sure, "s-1") is State.RECEIVED and datetime.now(UTC).timestamp() < end:
        sweep(sure)

    assert state(sure, "s-1") is State.EXPIRED


def test_leads_that_wait_in_a_long_queue_get_no_second_message(services: Services):
    """It would make the queue longer; where the broker has lost their messages, the queue is short."""
    for number in range(4):
        arrive(services, f"s-{number}")

    assert sweep(services, backlog=500) == []
    assert sorted(sweep(services)) == [f"s-{number}" for number in range(4)]

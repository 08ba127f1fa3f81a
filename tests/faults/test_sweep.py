"""The sweep: what a crash left lying is moved on, ended, logged and told, once each."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from kombu.exceptions import OperationalError
from sqlalchemy import select, update
from structlog.testing import capture_logs

from tasks import steps, upkeep
from tasks.core.outcome import Status
from tasks.core.protocol import Call
from tasks.core.states import State
from tasks.ledger import Ledger
from tasks.ledger.schema import leads
from tasks.services import Services
from tasks.steps import take
from tasks.telling import AddressRefuses, ExchangeRefuses
from tests.faults.conftest import House
from tests.faults.stand_ins import BID, SALE, App, Buyer, Teller, arrive, state
from tests.integration.installation import lead, wait_for


@pytest.fixture
def ended(services: Services) -> Services:
    """Three leads that ended while the broker was away."""
    away = replace(services, teller=Teller(fault=lambda _: OperationalError("gone")), buyer=Buyer([SALE] * 3))
    for number in range(3):
        arrive(away, f"s-{number}", Call.ONE_STEP)
        take(away, Call.ONE_STEP, f"s-{number}")
    wait_for(lambda: all(one.logged for one in services.ledger.untold(older_than_ms=-1, limit=10)), 5)
    return services


def sweep(services: Services, *, backlog: int = 0, times: int = 1) -> list[str]:
    """Sweep so often at once, as if some time had passed, and give the leads that were started anew.

    Sweeps beside each other leave alone what was told just now, as they do in life.
    """
    started: list[str] = []

    class Swept:
        app = App(services, backlog=lambda: backlog)

    class Started:
        def __init__(self, lead_id: str, _call: Call) -> None:
            self._lead_id = lead_id

        def apply_async(self) -> None:
            started.append(self._lead_id)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upkeep, "UNTOLD_MS", -1 if times == 1 else upkeep.UNTOLD_MS)
        patch.setattr(upkeep, "LOST_MESSAGE_MS", -1)
        patch.setattr(upkeep, "DEAD_CALL_MS", -60_000)
        patch.setattr(upkeep, "LONG_QUEUE", 2)
        patch.setattr(upkeep, "sale_of", Started)
        # Several at once are those of several processes: in one, there is one.
        target, args = upkeep.sweep.run.__func__, [Swept()]
        if times > 1:
            target, args = upkeep.look_after_all, [services, lambda: backlog]
        sweeps = [threading.Thread(target=target, args=args) for _ in range(times)]
        for one in sweeps:
            one.start()
        for one in sweeps:
            one.join()
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


def test_a_tick_that_comes_while_a_sweep_is_at_it_tells_nobody_again(ended: Services):
    """A broker that is slow after an absence: a tick a second would tell the same outcomes over and over."""
    others: list[str] = []

    def meanwhile(lead_id: str) -> None:
        others.extend(sweep(replace(ended, teller=Teller(fault=lambda late: AssertionError(f"{late} once more")))))
        told.append(lead_id)

    told: list[str] = []
    sweep(replace(ended, teller=Teller(fault=meanwhile)))
    assert sorted(told) == ["s-0", "s-1", "s-2"]
    assert others == []


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
    sweep(replace(ended, teller=Teller(fault=lambda _: AddressRefuses("reply_to is no list"))))

    assert untold(ended) == []


def test_a_queue_that_takes_no_outcome_holds_up_no_other_lead_s(ended: Services):
    """One that is bound to the exchange and full: its leads are told again, the others now."""
    first = untold(ended)[0]
    full = ExchangeRefuses("a queue that is bound to `outcomes` is full")

    sweep(replace(ended, teller=Teller(fault=lambda lead_id: full if lead_id == first else None)))

    assert untold(ended) == [first]


def test_an_answer_that_waited_for_the_ledger_is_written_before_a_sweep_gives_its_lead_up(services: Services):
    """The ledger was away for longer than the call: whoever holds the sale has its moment when it comes back."""
    arrive(services, "s-1", Call.ONE_STEP)
    row = services.ledger.lead("s-1")
    assert row is not None
    assert services.ledger.claim(row, Call.ONE_STEP, 5_000)

    class Returned(Ledger):
        back_for_s = upkeep.LEDGER_BACK_S - 0.1

    sweep(replace(services, ledger=Returned(services.ledger.engine)))
    assert state(services, "s-1") is State.POSTING

    Returned.back_for_s = upkeep.LEDGER_BACK_S
    sweep(replace(services, ledger=Returned(services.ledger.engine)))
    assert state(services, "s-1") is State.UNKNOWN


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


def test_an_outcome_whose_line_and_telling_a_crash_took_is_logged_once_and_told(
    services: Services, monkeypatch: pytest.MonkeyPatch
):
    """The worker died right after its commit: the next sweep does the rest, and the one after it nothing."""
    teller = Teller()
    sure = replace(services, buyer=Buyer([SALE]), teller=teller)
    arrive(sure, "s-1", Call.ONE_STEP)
    with monkeypatch.context() as crash:
        crash.setattr(steps, "tell_outcome", lambda *_: None)
        take(sure, Call.ONE_STEP, "s-1")
    assert (state(sure, "s-1"), teller.told) == (State.SOLD, [])

    with capture_logs() as lines:
        sweep(sure)
        sweep(sure)

    assert [(line["event"], line["status"]) for line in lines] == [("lead.outcome", "sold")]
    assert SALE.phone_number not in str(lines)
    assert teller.told == ["s-1"]


def test_a_line_that_was_written_is_not_written_again_when_the_broker_comes_back(ended: Services):
    """The broker was away, the log was not."""
    with capture_logs() as lines:
        sweep(replace(ended, teller=Teller()))

    assert [line for line in lines if line["event"] == "lead.outcome"] == []
    assert untold(ended) == []


def test_a_sale_that_is_told_after_its_forward_by_is_an_alarm(ended: Services):
    """The producer hears `late`, and the operator hears it too."""
    earlier = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    with ended.ledger.engine.begin() as connection:
        kept = json.loads(connection.execute(select(leads.c.outcome).where(leads.c.lead_id == "s-1")).scalar_one())
        changed = json.dumps({**kept, "forward_by": earlier})
        connection.execute(update(leads).where(leads.c.lead_id == "s-1").values(outcome=changed))

    with capture_logs() as lines:
        sweep(replace(ended, teller=Teller()))

    assert [(line["lead_id"], line["reason"]) for line in lines if line["event"] == "alarm"] == [
        ("s-1", "the outcome was told after forward_by")
    ]


def test_a_post_that_its_worker_left_is_unknown_once_though_four_sweeps_find_it(services: Services):
    """One outcome, one line, one alarm, and nothing is started anew."""
    gone = replace(services, buyer=Buyer([BID], during=lambda: None), teller=Teller())
    arrive(gone, "s-1")
    take(gone, Call.PING, "s-1")
    dead = replace(gone, buyer=Buyer([], during=_die))
    with pytest.raises(SystemExit):
        take(dead, Call.POST, "s-1")
    assert state(gone, "s-1") is State.POSTING

    with capture_logs() as lines:
        started = sweep(gone, times=4)

    assert state(gone, "s-1") is State.UNKNOWN
    assert started == []
    assert sorted(line["event"] for line in lines) == ["alarm", "lead.outcome"]
    assert next(line for line in lines if line["event"] == "lead.outcome")["token"] == BID.token


def test_four_sweeps_at_once_end_what_is_over_once(services: Services):
    """A lead past its deadline has one outcome and one line, and is told."""
    sure = replace(services, teller=Teller())
    arrive(sure, "s-1", deadline_s=0.01)
    wait = threading.Event()
    while (row := sure.ledger.lead("s-1")) is not None and row.remaining_s > 0:
        wait.wait(0.01)

    with capture_logs() as lines:
        sweep(sure, times=4)

    assert state(sure, "s-1") is State.EXPIRED
    assert [line["status"] for line in lines if line["event"] == "lead.outcome"] == [Status.EXPIRED]
    wait_for(lambda: untold(sure) == [], 5)


def test_a_reply_queue_that_is_gone_is_no_error(house: House):
    """Its asker hung up; the exchange is told, the outcome counts as told, and nobody tries again."""
    name = "sw-gone"
    away_before = len(house.installation.lines("broker.away"))  # others cut this broker's connections
    house.upstream.send_raw(json.dumps({**lead(name), "reply_to": "a-queue-that-nobody-has"}).encode())

    line = house.installation.wait_for_line("lead.outcome", lead_id=name)
    assert line["status"] == "sold"
    wait_for(lambda: house.upstream.announced(name), 10)
    wait_for(lambda: house.story(name).facts.told_at is not None, 10)
    assert house.installation.lines("outcome.untold", lead_id=name) == []
    assert len(house.installation.lines("broker.away")) == away_before


def _die() -> None:
    raise SystemExit

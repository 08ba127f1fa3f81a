"""What an answer does to the gates: which it closes, which it opens, and which a lead may try again when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from redis import Redis

from tasks.core.caps import Calendar
from tasks.core.limits import NO_LIMITS, Limit, Limits
from tasks.core.protocol import Call
from tasks.core.reasons import Answer, Refusal, Unanswered, Unreadable
from tasks.core.states import State
from tasks.gates import Closed, Gate, RedisStore, Register, SharedGates
from tasks.ledger.limits import Take
from tasks.services import Services
from tasks.steps import take
from tests.faults.stand_ins import BID, SALE, Buyer, arrive, standing_in, state
from tests.gates.conftest import ask
from tests.ledger.stories import bring

PARTNER, CATEGORY = "partner:XYZ", "category:16001"
CAP, ACCOUNT = Refusal(4000), Refusal(3000)
TOMORROW = datetime.now(UTC) + timedelta(hours=9)


def day_that_began(ago: timedelta) -> Calendar:
    """A buyer's calendar by which today began so long ago."""
    return Calendar(ZoneInfo("UTC"), (datetime.now(UTC) - ago).time().replace(microsecond=0))


@dataclass
class Office:
    """Steps of leads with real gates and a real ledger, and a buyer by script."""

    services: Services
    gates: SharedGates
    buyer: Buyer

    def hear(self, lead_id: str, answer: Answer) -> None:
        """Let a lead ping, and the buyer answer."""
        arrive(self.services, lead_id)
        self.buyer.script.append(answer)
        take(self.services, Call.PING, lead_id)
        assert self.buyer.script == []

    def sell(self, lead_id: str) -> None:
        self.hear(lead_id, BID)
        self.buyer.script.append(SALE)
        take(self.services, Call.POST, lead_id)
        assert state(self.services, lead_id) is State.SOLD

    def gate(self, scope: str) -> Gate | None:
        return next((gate for gate in self.gates.all() if gate.scope == scope), None)

    def tried_in_s(self, scope: str) -> float | None:
        """In how many seconds, about, a closed gate may be tried; None: never."""
        gate = self.gate(scope)
        assert gate is not None
        assert gate.closed
        return None if gate.probe_at is None else (gate.probe_at - datetime.now(UTC)).total_seconds()


def office_of(
    services: Services, store: Redis, calendar: Calendar, *, account_probe_s: float = 0, limits: Limits = NO_LIMITS
) -> Office:
    buyer = Buyer([])
    register = Register(services.ledger, calendar, test=False)
    gates = SharedGates(RedisStore(store, partner_id="XYZ", test=False), register)
    rules = replace(services.rules, calendar=calendar, account_probe_s=account_probe_s, limits=limits)
    return Office(replace(services, buyer=buyer, gates=gates, rules=rules), gates, buyer)


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    folder = tmp_path / "steps"
    folder.mkdir()
    with standing_in(folder) as services:
        yield services


@pytest.fixture
def office(services: Services, shared) -> Office:
    """On a day of the buyer's that began twelve hours ago; the account may be tried after a minute."""
    return office_of(services, shared.store, day_that_began(timedelta(hours=12)), account_probe_s=60)


def test_a_cap_that_is_met_on_a_day_with_sales_is_not_tried_before_the_next(office: Office):
    office.sell("L1")
    office.hear("L2", CAP)
    assert office.tried_in_s(CATEGORY) is None


def test_a_cap_that_is_met_in_the_midst_of_a_day_is_the_day_s(office: Office):
    """Nothing was sold here, but the buyer may have bought of others."""
    office.hear("L1", CAP)
    assert office.tried_in_s(CATEGORY) is None


def test_a_cap_that_is_met_first_thing_in_a_day_may_be_the_day_before_s_and_is_tried(services: Services, shared):
    """Its 4000 was on its way at midnight, or the buyer's midnight is a little later than ours."""
    office = office_of(services, shared.store, day_that_began(timedelta(minutes=10)))
    office.hear("L1", CAP)
    assert 5 < (office.tried_in_s(CATEGORY) or 0) <= 10


def test_a_cap_that_is_met_again_after_its_reset_is_tried_until_something_is_sold(office: Office):
    began = office.services.rules.calendar.begins(office.services.rules.calendar.day(datetime.now(UTC)))
    office.gates.close(CATEGORY, code=4000, reason="Daily Cap reached", until=began)
    office.gates.reset()
    office.hear("L1", CAP)
    assert 5 < (office.tried_in_s(CATEGORY) or 0) <= 10
    # One bid is no sale: the cap of sales may still be yesterday's.
    office.gates.open(CATEGORY, "the buyer sells again", by_probe=True)
    office.hear("L2", BID)
    office.hear("L3", CAP)
    assert office.tried_in_s(CATEGORY) is not None
    office.gates.open(CATEGORY, "by hand")
    office.sell("L4")
    office.hear("L5", CAP)
    assert office.tried_in_s(CATEGORY) is None


@pytest.mark.parametrize(
    ("answer", "tried_in_s"),
    [
        pytest.param(BID, None, id="a bid opens it"),
        pytest.param(CAP, 20, id="another 4000 makes the next try later"),
        pytest.param(Refusal(5000), 10, id="a lead that is not wanted says nothing of the cap"),
        pytest.param(Refusal(None, "not wanted"), 10, id="nor does one without a code"),
        pytest.param(Refusal(1000), 0, id="maintenance says nothing at all"),
        pytest.param(Unanswered("no answer within 2 s"), 0, id="nor does silence"),
        pytest.param(Unreadable("no JSON"), 0, id="nor does what cannot be read"),
        pytest.param(ACCOUNT, 10, id="a blocked account says nothing of the cap"),
    ],
)
def test_a_lead_that_tries_a_cap(office: Office, answer: Answer, tried_in_s: float | None):
    office.gates.close(CATEGORY, code=4000, reason="Daily Cap reached", until=TOMORROW, probe_s=0)
    office.hear("L1", answer)
    if tried_in_s is None:
        assert office.gate(CATEGORY) is None
    else:
        assert abs((office.tried_in_s(CATEGORY) or 0) - tried_in_s) < 5
        assert isinstance(office.gates.admit(ask(CATEGORY)), Closed)
    partner = office.gate(PARTNER)
    assert (partner is not None and partner.closed) == (answer == ACCOUNT)


@pytest.mark.parametrize(
    ("answer", "opens"),
    [
        pytest.param(BID, True, id="a bid opens it"),
        pytest.param(Refusal(5000), True, id="so does a refusal of this lead"),
        pytest.param(CAP, True, id="so does a cap, which closes its own gate"),
        pytest.param(ACCOUNT, False, id="the same code keeps it closed"),
        pytest.param(Refusal(2000), False, id="so does the other of its kind"),
        pytest.param(Refusal(1000), False, id="maintenance says nothing"),
    ],
)
def test_a_lead_that_tries_the_account(office: Office, answer: Answer, opens: bool):
    office.gates.close(PARTNER, code=3000, reason="Account not active", until=None, probe_s=0)
    office.hear("L1", answer)
    assert (office.gate(PARTNER) is None) == opens
    cap = office.gate(CATEGORY)
    assert (cap is not None and cap.closed) == (answer == CAP)
    if answer in (ACCOUNT, Refusal(2000)):
        assert 50 < (office.tried_in_s(PARTNER) or 0) <= 60


def test_a_lead_that_tries_two_gates_opens_both_with_a_bid(office: Office):
    office.gates.close(CATEGORY, code=4000, reason="Daily Cap reached", until=TOMORROW, probe_s=0)
    office.gates.close(PARTNER, code=3000, reason="Account not active", until=None, probe_s=0)
    office.hear("L1", BID)
    assert [gate.scope for gate in office.gates.all()] == ["buyer"]


def test_when_a_lead_opened_a_cap_is_shown_and_when_an_operator_did_is_not(office: Office):
    began = office.services.rules.calendar.begins(office.services.rules.calendar.day(datetime.now(UTC)))
    for by_probe in (False, True):
        office.gates.close(CATEGORY, code=4000, reason="Daily Cap reached", until=began)
        office.gates.reset()
        office.gates.close(CATEGORY, code=4000, reason="Daily Cap reached", until=TOMORROW, probe_s=0)
        office.gates.open(CATEGORY, "open", by_probe=by_probe)
        gate = office.gate(CATEGORY)
        assert (gate is not None) == by_probe
    assert gate is not None
    assert "the buyer sold again" in (gate.reason or "")


def test_a_lead_past_an_own_limit_takes_nothing_of_the_pace(services: Services, shared):
    limit = Limit(CATEGORY, sales=1)
    calendar = day_that_began(timedelta(hours=12))
    office = office_of(services, shared.store, calendar, limits=Limits({CATEGORY: limit}))
    day = calendar.day(datetime.now(UTC)).isoformat()
    services.ledger.claim(bring(services.ledger, State.BID, "L1"), Call.POST, 5_000, Take(day, [limit], sales=1))
    arrive(services, "L2")
    shared.store.zadd("pingpost:XYZ:live:room", {"L2": 1})  # it had waited for its turn before
    take(office.services, Call.PING, "L2")
    assert state(services, "L2") is State.CAPPED
    assert not shared.store.keys("pingpost:*")
    assert services.ledger.limits_used(day)[CATEGORY].turned_away == 1


def test_a_gate_that_a_clock_ahead_had_closed_opens_at_the_end_of_the_real_day(office: Office):
    """The database's clock was days ahead when the cap was met, and was set right."""
    later = datetime.now(UTC) + timedelta(days=4)
    row = replace(
        Register(office.services.ledger, office.services.rules.calendar, test=False).draft(
            CATEGORY, 4000, "Daily Cap reached", round(later.timestamp() * 1000), 0
        ),
        heard_ms=round(later.timestamp() * 1000),
        probe_ms=round(later.timestamp() * 1000),
    )
    office.services.ledger.close_gate(row)
    office.gates.reset()
    gate = office.gate(CATEGORY)
    assert gate is not None
    assert gate.until == office.services.rules.calendar.ends(datetime.now(UTC))
    assert (office.tried_in_s(CATEGORY) or 0) <= 0


def test_a_reset_by_somebody_who_looked_too_early_opens_no_gate_that_was_closed_since(office: Office):
    """Between its look and its word another ended the day, and an operator closed the gate."""
    began = office.services.rules.calendar.begins(office.services.rules.calendar.day(datetime.now(UTC)))
    office.gates.close(CATEGORY, code=4000, reason="Daily Cap reached", until=began)
    register = Register(office.services.ledger, office.services.rules.calendar, test=False)
    (seen,) = register.closed()[1]
    office.gates.reset()
    office.gates.close(CATEGORY, code=None, reason="by hand", until=None)
    assert register.end(seen, 0) is None
    gate = office.gate(CATEGORY)
    assert gate is not None
    assert (gate.closed, gate.reason) == (True, "by hand")

"""The state store is away: closed gates stay closed, calls become few, and one line says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from structlog.testing import capture_logs

from tasks.gates import Closed, Go, Heard, RedisStore, Register, SharedGates, Wait
from tasks.gates.local import CALLS_PER_S, LONGEST_WAIT_S, PLACES, LocalPace
from tasks.gates.shared import TRY_S
from tasks.gates.store import HOLD_MS, SILENT_RUN
from tasks.ledger import Ledger, migrate
from tests.faults.proxy import Proxy
from tests.gates.conftest import CALENDAR, ask

TOMORROW = datetime.now(UTC) + timedelta(hours=9)
SCOPE = "category:16001"


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Office:
    """Two workers with one store, which the first reaches over a line that can be cut."""

    line: Proxy
    store: Redis
    ledger: Ledger
    clock: Clock
    here: SharedGates
    there: SharedGates

    def cut(self) -> None:
        self.line.refuse()

    def mend(self) -> None:
        self.line.listen()
        self.clock.now += TRY_S + 0.01


@pytest.fixture
def office(redis_url: str, tmp_path: Path) -> Iterator[Office]:
    at = urlsplit(redis_url)
    ledger_url = f"sqlite:///{tmp_path / 'ledger.sqlite3'}"
    migrate(ledger_url)
    ledger = Ledger.open(ledger_url)
    direct = Redis.from_url(redis_url, decode_responses=True)
    direct.flushdb()
    clock = Clock()
    with Proxy(at.hostname or "127.0.0.1", at.port or 6379) as line:
        cuttable = Redis.from_url(
            at._replace(netloc=at.netloc.replace(f":{at.port}", f":{line.port}")).geturl(),
            decode_responses=True,
            retry=Retry(NoBackoff(), 1),
            socket_timeout=5,
        )
        register = Register(ledger, CALENDAR, test=False)
        here = SharedGates(RedisStore(cuttable, partner_id="XYZ", test=False), register, monotonic=clock)
        there = SharedGates(RedisStore(direct, partner_id="XYZ", test=False), register)
        yield Office(line, direct, ledger, clock, here, there)
        cuttable.close()
    direct.flushdb()
    direct.close()
    ledger.close()


def close(gates: SharedGates, until: datetime | None = TOMORROW) -> bool:
    return gates.close(SCOPE, code=4000, reason="Daily Cap reached", until=until)


def hear(gates: SharedGates, ticket: str, heard: Heard) -> None:
    gates.heard(Go(ticket), heard, code=None, reason="", retry_after_s=None)
    gates.flush()


def test_a_cap_that_is_closed_stays_closed_and_its_leads_are_counted(office: Office):
    """The ledger answers where the store cannot, and both counts are shown in the end."""
    close(office.there)
    office.here.admit(ask(SCOPE))
    office.cut()

    answers = [office.here.admit(ask(SCOPE)) for _ in range(3)]

    assert [type(answer) for answer in answers] == [Closed] * 3
    assert isinstance(answers[0], Closed)
    assert answers[0].until is not None
    assert abs(answers[0].until - TOMORROW) < timedelta(seconds=1)
    office.mend()
    assert [gate.turned_away for gate in office.here.all() if gate.scope == SCOPE] == [4]


def test_a_cap_that_is_met_meanwhile_is_closed_for_all_as_soon_as_the_store_is_back(office: Office):
    """Those who still reach the store would otherwise go on calling."""
    office.cut()
    assert close(office.here)
    assert isinstance(office.here.admit(ask(SCOPE)), Closed)
    office.mend()

    assert isinstance(office.here.admit(ask(SCOPE)), Closed)

    assert isinstance(office.there.admit(ask(SCOPE)), Closed)


def test_a_gate_that_is_opened_meanwhile_is_open_when_the_store_is_back(office: Office):
    """An operator's word counts though the store could not be told."""
    close(office.here)
    office.cut()
    assert office.here.open(SCOPE, "opened by an operator")
    assert isinstance(office.here.admit(ask(SCOPE)), Go)
    office.mend()

    assert not isinstance(office.here.admit(ask(SCOPE)), Closed)
    assert not isinstance(office.there.admit(ask(SCOPE)), Closed)


def test_a_store_that_missed_a_gate_hears_of_it_at_the_next_reset(office: Office):
    """Whoever closed it may have died before it saw the store again."""
    office.cut()
    close(office.here)

    office.there.reset()

    assert isinstance(office.there.admit(ask(SCOPE)), Closed)


def test_a_cap_s_day_that_ends_meanwhile_opens_it_once(office: Office):
    """The reset needs no store."""
    close(office.here)
    office.cut()
    close(office.here, datetime.now(UTC) - timedelta(seconds=5))

    with capture_logs() as lines:
        assert [gate.scope for gate in office.here.reset()] == [SCOPE]
        assert office.there.reset() == []

    assert [line["event"] for line in lines].count("cap.reset") == 1
    assert isinstance(office.here.admit(ask(SCOPE)), Go)


def test_one_line_says_that_it_is_away_and_one_that_it_is_back(office: Office):
    """However many leads ask meanwhile."""
    with capture_logs() as lines:
        office.cut()
        for _ in range(20):
            office.here.admit(ask(SCOPE))
            office.clock.now += TRY_S / 2
        hear(office.here, "a ticket", Heard.WELL)
        office.mend()
        for _ in range(5):
            office.here.admit(ask(SCOPE))

    assert [line["event"] for line in lines] == ["store.away", "store.back"]
    assert lines[0]["reason"] == "ConnectionError"
    assert lines[1]["away_s"] == pytest.approx(20 * TRY_S / 2 + TRY_S, abs=0.1)


def test_without_its_store_a_process_makes_few_calls(office: Office):
    """Ten seconds of leads that ask all the time."""
    office.cut()
    begun = 0
    for _ in range(1000):
        answer = office.here.admit(ask(SCOPE))
        if isinstance(answer, Go):
            begun += 1
            hear(office.here, answer.ticket, Heard.WELL)
        office.clock.now += 0.01

    assert begun == pytest.approx(10 * CALLS_PER_S, abs=3)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace(clock: Clock) -> LocalPace:
    return LocalPace(HOLD_MS, SILENT_RUN, monotonic=clock)


def test_few_calls_are_in_flight_and_each_frees_its_place(pace: LocalPace, clock: Clock):
    """A call that is never heard of frees its own when its budget is over."""
    for number in range(PLACES):
        assert isinstance(pace.admit(str(number), 5), Go)
        clock.now += 1 / CALLS_PER_S
    assert isinstance(pace.admit("more", 5), Wait)

    pace.heard("0", Heard.NOTHING, None)
    assert isinstance(pace.admit("more", 5), Go)
    clock.now += 1 / CALLS_PER_S
    assert isinstance(pace.admit("yet more", 5), Wait)
    clock.now += 5
    assert isinstance(pace.admit("yet more", 5), Go)


@pytest.mark.parametrize("heard", [Heard.WAIT, Heard.SLOW])
def test_maintenance_and_limits_hold_the_calls_back_longer_each_time_and_one_call_tries(
    pace: LocalPace, clock: Clock, heard: Heard
):
    """As the store does for all workers together."""
    for hold_ms in (*HOLD_MS[heard], HOLD_MS[heard][-1]):
        pace.heard("", heard, None)
        clock.now += hold_ms / 1000 - 0.01
        assert isinstance(pace.admit("early", 5), Wait)
        clock.now += 0.02
        assert isinstance(pace.admit("probe", 5), Go)
        clock.now += 1 / CALLS_PER_S
        assert isinstance(pace.admit("beside it", 5), Wait)
        pace.heard("probe", Heard.UNASKED, None)

    pace.heard("", Heard.WELL, None)
    for number in range(PLACES):
        assert isinstance(pace.admit(str(number), 5), Go)
        clock.now += 1 / CALLS_PER_S


def test_a_run_of_silence_is_as_good_as_maintenance(pace: LocalPace, clock: Clock):
    """A good answer in between ends the run."""
    for number in range(2 * SILENT_RUN - 1):
        pace.heard("", Heard.WELL if number == SILENT_RUN - 1 else Heard.NOTHING, None)
    assert isinstance(pace.admit("after few", 5), Go)
    clock.now += 1 / CALLS_PER_S

    pace.heard("after few", Heard.NOTHING, None)
    clock.now += HOLD_MS[Heard.NOTHING][0] / 1000 - 0.01
    assert isinstance(pace.admit("early", 5), Wait)
    clock.now += 0.02
    assert isinstance(pace.admit("then", 5), Go)


def test_the_buyer_s_own_wish_holds_the_calls_back_longer(pace: LocalPace, clock: Clock):
    """Retry-After."""
    pace.heard("", Heard.SLOW, 9)
    clock.now += 8.9
    assert isinstance(pace.admit("early", 5), Wait)
    clock.now += 0.2
    assert isinstance(pace.admit("then", 5), Go)


def test_leads_that_wait_are_given_times_of_their_own(pace: LocalPace):
    """A thousand that wait for one call must not all come back together."""
    pace.admit("first", 5)

    waits = [answer.seconds for answer in (pace.admit("", 5) for _ in range(40)) if isinstance(answer, Wait)]

    assert len(waits) == 40
    apart = [later - sooner for sooner, later in pairwise(waits) if later < LONGEST_WAIT_S]
    assert min(apart) == pytest.approx(1 / CALLS_PER_S)
    assert max(waits) == LONGEST_WAIT_S

"""A year of the buyer's days: beats that die, come late and come twice, clocks that change, caps met at any time."""

from __future__ import annotations

import random
import shutil
import tempfile
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, select, update
from structlog.testing import capture_logs

from tasks.core.caps import Calendar
from tasks.core.states import State
from tasks.gates import Closed, Go, Heard, Register, SharedGates
from tasks.ledger import Ledger, migrate
from tasks.ledger.resets import LAST_SALES_MS, WHOLE
from tasks.ledger.rows import from_ms, to_ms
from tasks.ledger.schema import leads, resets
from tests.gates.conftest import ask
from tests.ledger.stories import bring
from tests.simulation.store import ModelStore
from tests.simulation.strands import Clock
from tests.simulation.test_conformance import told_by

ZONES = [
    "America/New_York",
    "America/Havana",  # has its midnight twice
    "Asia/Beirut",  # goes on from midnight to one o'clock
    "Australia/Lord_Howe",  # changes by half an hour
    "Asia/Kolkata",
    "Pacific/Kiritimati",
]
BEGAN = datetime(2027, 11, 5, 17, tzinfo=UTC)  # a year that has a leap day
YEAR = timedelta(days=366)
CATEGORY = "category:16001"


class Years:
    """A ledger whose clock is ours, and beats that look at it when the chance has it."""

    def __init__(self, empty: Path, folder: Path, calendar: Calendar, chance: random.Random) -> None:
        self.calendar, self.chance = calendar, chance
        self.clock = Clock()
        self.clock.ms = to_ms(BEGAN)
        path = folder / "ledger.sqlite3"
        shutil.copy(empty, path)
        self.ledger = Ledger.open(f"sqlite:///{path}")
        event.listen(self.ledger.engine, "connect", told_by(self.clock))
        store = ModelStore(self.clock)
        self.beats = [SharedGates(store, Register(self.ledger, calendar, test=False)) for _ in range(2)]
        self.closed: list[tuple[date, int]] = []

    @property
    def now(self) -> datetime:
        return from_ms(self.clock.ms)

    def live(self) -> None:
        """Go through the year: mostly to some moment of the day, and often to just before or after its end."""
        bring(self.ledger, State.REJECTED, "first")
        with self.ledger.engine.begin() as connection:
            connection.execute(update(leads).values(ended_at=self.clock.ms))
        while self.now < BEGAN + YEAR:
            self._pass_time()
            dead = self.chance.random() < 0.4
            for beat in self.beats[: 0 if dead else self.chance.randint(1, 2)]:
                beat.reset()
            if self.chance.random() < 0.3:
                self._meet_the_cap()
            self._ask()
        self.clock.ms += LAST_SALES_MS
        self.beats[0].reset()

    def _pass_time(self) -> None:
        if self.chance.random() < 0.5:
            end = to_ms(self.calendar.ends(self.now))
            self.clock.ms = max(self.clock.ms, end + self.chance.choice([-2000, -1, 0, 1, 2000]))
        leap = self.chance.choice([1, 5, 5, 600, 20_000, 40_000, 90_000, 300_000])
        self.clock.ms += self.chance.randint(0, leap * 1000)

    def _meet_the_cap(self) -> None:
        gates = self.chance.choice(self.beats)
        until = self.calendar.ends(self.now)
        if gates.close(CATEGORY, code=4000, reason="Daily Cap reached", until=until):
            self.closed.append((self.calendar.day(self.now), to_ms(until)))

    def _ask(self) -> None:
        """A closed gate is closed until its day ends, and not a moment longer, whoever has looked."""
        answer = self.beats[1].admit(ask(CATEGORY))
        if isinstance(answer, Go):
            self.beats[1].heard(answer, Heard.UNASKED, code=None, reason="", retry_after_s=None)
        until = self.closed[-1][1] if self.closed else 0
        assert isinstance(answer, Closed if self.clock.ms < until else Go), (self.now, from_ms(until))


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("year") / "empty.sqlite3"
    migrate(f"sqlite:///{path}")
    return path


@pytest.mark.parametrize("zone", ZONES)
# Found is enough: to make a year shorter takes hours.
@settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(seed=st.integers(0, 2**32), reset=st.sampled_from([time(0), time(0, 30), time(3)]))
def test_in_a_year_no_day_is_missed_and_none_is_kept_twice(empty: Path, zone: str, seed: int, reset: time):
    """Each day has one row and one line; each gate that was closed one line `cap.reset`, for that day."""
    calendar = Calendar(ZoneInfo(zone), reset)
    with tempfile.TemporaryDirectory() as folder, capture_logs() as lines:
        years = Years(empty, Path(folder), calendar, random.Random(seed))
        years.live()
        whole = select(resets.c.day).where(resets.c.scope == WHOLE).order_by(resets.c.ends)
        kept = years.ledger.read(lambda connection: list(connection.execute(whole).scalars()))
        years.ledger.close()
    first, last = calendar.day(BEGAN), calendar.day(years.now - timedelta(milliseconds=LAST_SALES_MS))
    days = [(first + timedelta(days=n)).isoformat() for n in range((last - first).days)]
    assert kept == days
    assert [line["day"] for line in lines if line["event"] == "day.closed"] == days
    over = [day.isoformat() for day, until in years.closed if until <= years.clock.ms]
    assert [line["day"] for line in lines if line["event"] == "cap.reset"] == over
    assert len(over) > 20


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(seed=st.integers(0, 2**32), zones=st.lists(st.sampled_from(ZONES), min_size=2, max_size=4, unique=True))
def test_no_time_falls_between_two_days_though_clocks_are_set_back_and_the_zone_is_changed(
    empty: Path, seed: int, zones: list[str]
):
    """Each date is kept once at most, in order, and each begins where the one before it ended.

    Where a zone further west is set, a date may be left without any time of its own.
    """
    chance = random.Random(seed)
    calendars = [Calendar(ZoneInfo(zone), chance.choice([time(0), time(6)])) for zone in zones]
    with tempfile.TemporaryDirectory() as folder:
        years = Years(empty, Path(folder), calendars[0], chance)
        bring(years.ledger, State.REJECTED, "first")
        with years.ledger.engine.begin() as connection:
            connection.execute(update(leads).values(ended_at=years.clock.ms))
        while years.now < BEGAN + YEAR / 4:
            years.clock.ms += chance.choice([-7_200_000, -60_000, 20_000, 3_600_000, 40_000_000, 200_000_000])
            SharedGates(ModelStore(years.clock), Register(years.ledger, chance.choice(calendars), test=False)).reset()
        whole = select(resets).where(resets.c.scope == WHOLE).order_by(resets.c.ends)
        kept = years.ledger.read(lambda connection: list(connection.execute(whole)))
        years.ledger.close()
    days = [date.fromisoformat(row.day) for row in kept]
    assert days == sorted(set(days))
    assert [row.begins for row in kept[1:]] == [row.ends for row in kept[:-1]]
    assert len(days) > 80

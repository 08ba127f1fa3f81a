"""The archive: what was said about an old lead leaves the ledger, and nothing that is still asked for."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection, func, select

from tasks.core.caps import Calendar
from tasks.core.outcome import Status
from tasks.core.protocol import Call
from tasks.core.reasons import Refusal
from tasks.core.states import State
from tasks.ledger import Ledger, Reception
from tasks.ledger.archive import Batch
from tasks.ledger.report import By, Report, Span, report
from tasks.ledger.schema import attempts, leads
from tests.ledger.crowd import fill
from tests.ledger.stories import (
    age,
    arrival,
    attempts_of,
    bring,
    claimed,
    columns,
    end,
    exchange,
    sold_days_ago,
    take_in,
)

DAY_MS = 86_400_000


def batches(ledger: Ledger, *, days: int = 90, limit: int = 100) -> list[Batch]:
    """Move all that is old, and give what was moved."""
    found: list[Batch] = []
    after = None
    while (batch := ledger.old_attempts(older_than_ms=days * DAY_MS, after=after, limit=limit)) is not None:
        assert ledger.remove_attempts(batch) == sum(len(line["attempts"]) for line in batch.lines)
        found.append(batch)
        after = batch.ends
    return found


def test_an_old_lead_loses_its_attempts_and_nothing_else(ledger: Ledger):
    sold_days_ago(ledger)
    before, said = columns(ledger), attempts_of(ledger)

    (batch,) = batches(ledger)

    assert attempts_of(ledger) == []
    assert columns(ledger) == before
    (line,) = batch.lines
    assert (line["lead_id"], line["status"]) == ("L1", "sold")
    assert [attempt["call"] for attempt in line["attempts"]] == ["ping", "post"] == [it["call"] for it in said]
    post = line["attempts"][1]
    assert (post["price"], post["result"], post["stale"], post["request"]) == (
        "12.00",
        "sale",
        False,
        said[1]["request"],
    )
    assert batches(ledger) == []


def test_one_that_is_sent_again_is_answered_and_not_sold_again(ledger: Ledger):
    sold_days_ago(ledger)
    batches(ledger)
    (receipt,) = ledger.accept([arrival(redelivered=True)])
    assert receipt.reception is Reception.ENDED
    assert receipt.outcome
    assert receipt.outcome["status"] == "sold"


@pytest.mark.parametrize(("days", "told"), [(89, True), (400, False)])
def test_a_young_one_and_one_whose_outcome_was_not_told_are_left(ledger: Ledger, days: int, told: bool):
    sold_days_ago(ledger, days=days, told=told)
    assert batches(ledger) == []
    assert len(attempts_of(ledger)) == 2


def test_one_without_an_end_is_left_however_old(ledger: Ledger):
    bring(ledger, State.POSTING)
    age(ledger, 400 * DAY_MS, "received_at", "deadline_at", "due_at", "changed_at")
    assert batches(ledger) == []


def test_batches_are_no_larger_than_asked_and_have_each_lead_once_the_oldest_first(ledger: Ledger):
    for number in reversed(range(5)):
        # Two that ended at the same time are told apart by their ids.
        sold_days_ago(ledger, f"L{number}", days=91 + number // 2)
    found = batches(ledger, limit=2)
    assert [len(batch.lines) for batch in found] == [2, 2, 1]
    leads = [line["lead_id"] for batch in found for line in batch.lines]
    assert sorted(leads) == [f"L{number}" for number in range(5)]
    ends = [line["ended_at"] for batch in found for line in batch.lines]
    assert ends == sorted(ends)


def test_what_grew_old_after_an_archive_goes_with_the_next(ledger: Ledger):
    """Which begins where the oldest attempts are, not at the oldest lead: those went with the first."""
    sold_days_ago(ledger, "L1", days=400)
    assert [line["lead_id"] for batch in batches(ledger) for line in batch.lines] == ["L1"]
    for lead_id, days in (("L3", 300), ("L2", 200), ("young", 3)):
        sold_days_ago(ledger, lead_id, days=days)
    assert [line["lead_id"] for batch in batches(ledger) for line in batch.lines] == ["L3", "L2"]
    assert len(attempts_of(ledger, "young")) == 2


def test_of_one_whose_own_ping_met_the_cap_they_stay(ledger: Ledger):
    """They tell the report that it was the buyer, and no gate of ours, that turned it away."""
    mine = claimed(ledger, take_in(ledger), Call.PING)
    _, untold = ledger.end(mine, exchange(Call.PING, Refusal(4000, "cap reached")), end(mine, Status.CAPPED, code=4000))
    assert untold
    ledger.mark_told(untold)
    age(ledger, 400 * DAY_MS, "ended_at", "received_at", "deadline_at")
    assert batches(ledger) == []
    assert len(attempts_of(ledger)) == 1


def test_reports_say_what_they_said_before(ledger: Ledger):
    first = datetime.now(UTC) - timedelta(days=200)
    span = Span(Calendar(ZoneInfo("America/New_York"), time(0)), first.date(), datetime.now(UTC).date())

    def told(connection: Connection) -> Report:
        return report(connection, span, [By.DAY, By.CATEGORY])

    with ledger.engine.begin() as connection:
        fill(connection, 3000, first=first, days=60)
    before = ledger.read(told)

    moved: list[Batch] = []
    while found := batches(ledger):  # several, since the crowd's calls are not in the order of time, as real ones are
        moved += found

    assert ledger.read(told) == before
    assert sum(len(line["attempts"]) for batch in moved for line in batch.lines) > 3000
    left = ledger.read(lambda c: c.execute(select(leads.c.status).join(attempts).distinct()).scalars().all())
    assert left
    assert {*left} <= {"capped", "blocked"}
    assert ledger.read(lambda c: c.execute(select(func.count()).select_from(leads)).scalar_one()) == 3000

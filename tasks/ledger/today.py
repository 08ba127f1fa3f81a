"""What has just happened and what waits: quick sums for whoever looks on each second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, case, func, select

from tasks.core.outcome import Status
from tasks.ledger.clock import now_ms
from tasks.ledger.report import paid
from tasks.ledger.schema import leads

SECOND_MS = 1000


@dataclass(frozen=True, slots=True)
class Ended:
    """Leads that ended in a stretch of time, by status, and the payout of those that were sold. No tests."""

    counts: Mapping[Status, int]
    payout_micros: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """Leads without an outcome, and for how long the oldest of them has been waiting."""

    leads: int
    oldest_ms: int


def ended(connection: Connection, begins_ms: int, ends_ms: int) -> Ended:
    """Add up the leads that ended between two moments, the second not among them."""
    sums = select(leads.c.status, func.count(), func.coalesce(func.sum(paid()), 0)).where(
        leads.c.ended_at >= begins_ms, leads.c.ended_at < ends_ms, leads.c.test.is_(False)
    )
    counts: dict[Status, int] = {}
    payout = 0
    for status, number, micros in connection.execute(sums.group_by(leads.c.status)):
        counts[Status(status)] = int(number)
        payout += int(micros) if status == Status.SOLD.value else 0
    return Ended(counts, payout)


def by_second(connection: Connection, seconds: int) -> list[tuple[int, int]]:
    """Count the leads that ended in each of the last whole seconds, the oldest first: all, and those that were sold."""
    now: int = connection.execute(select(now_ms())).scalar_one()
    begins = (now // SECOND_MS - seconds) * SECOND_MS
    second = ((leads.c.ended_at - begins) // SECOND_MS).label("second")
    sold = func.sum(case((leads.c.status == Status.SOLD.value, 1), else_=0))
    inside = leads.c.ended_at >= begins, leads.c.ended_at < begins + seconds * SECOND_MS
    found = connection.execute(select(second, func.count(), sold).where(*inside).group_by(second))
    counted = {int(at): (int(number), int(of_them)) for at, number, of_them in found}
    return [counted.get(place, (0, 0)) for place in range(seconds)]


def waiting(connection: Connection) -> Waiting:
    """Look at the leads that have no outcome yet."""
    open_ = select(func.count(), func.min(leads.c.received_at), now_ms()).where(leads.c.status.is_(None))
    number, oldest, now = connection.execute(open_).one()
    return Waiting(int(number), max(0, now - oldest) if oldest is not None else 0)

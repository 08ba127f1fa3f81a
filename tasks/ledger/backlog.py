"""How much lies in the ledger that is not at its end: leads without an outcome, outcomes without a listener."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from tasks.core.states import State
from tasks.ledger.clock import now_ms
from tasks.ledger.schema import leads

OPEN = tuple(state for state in State if not state.final)


@dataclass(frozen=True, slots=True)
class Waiting:
    """So many, of which the oldest has been waiting for so many seconds; 0 where there is none."""

    number: int = 0
    oldest_s: float = 0


@dataclass(frozen=True, slots=True)
class Backlog:
    """Leads without an outcome, by state and since they were taken in; outcomes that are not told, since their end."""

    open: Mapping[State, Waiting]
    untold: Waiting


def backlog(connection: Connection) -> Backlog:
    """Count. It costs as much as is open, whatever else the ledger holds."""
    ages = select(leads.c.state, *_counted(leads.c.received_at)).where(leads.c.status.is_(None))
    found = {State(row.state): _waiting(row) for row in connection.execute(ages.group_by(leads.c.state))}
    never_told = (leads.c.status.is_not(None), leads.c.told_at.is_(None))
    untold = connection.execute(select(*_counted(leads.c.ended_at)).where(*never_told)).one()
    return Backlog({state: found.get(state, Waiting()) for state in OPEN}, _waiting(untold))


def _counted(since: ColumnElement[int]) -> tuple[ColumnElement[Any], ...]:
    return func.count().label("number"), (now_ms() - func.min(since)).label("oldest_ms")


def _waiting(row: Any) -> Waiting:
    return Waiting(row.number, max(row.oldest_ms or 0, 0) / 1000)

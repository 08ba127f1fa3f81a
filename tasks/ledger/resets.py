"""The buyer's days that are over: each once, whoever looks, with what it brought."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from tasks.core.caps import Calendar, Day
from tasks.ledger.clock import now_ms
from tasks.ledger.rows import GateRow, Reset, Takings, from_ms, to_ms
from tasks.ledger.schema import gates, leads, resets
from tasks.ledger.takings import takings

WHOLE: Final = "buyer"  # the scope of a day as a whole
# A sale of the day's last moment may be written down so long after it.
LAST_SALES_MS: Final = 10_000


def end_gate(connection: Connection, gate: GateRow, day: Day) -> Reset | None:
    """Open a gate whose day is over, and keep what that day brought. None: somebody else did."""
    # This closing of it alone: somebody else may have ended it, and it may be closed anew since.
    over = (gates.c.scope == gate.scope, gates.c.since == gate.since_ms, gates.c.until.is_not(None))
    if connection.execute(delete(gates).where(*over)).rowcount != 1:
        return None
    return _keep(connection, day, gate.scope, gate)


def over(connection: Connection, calendar: Calendar) -> list[Day]:
    """Give the buyer's days that are over and not kept yet, from the first in which a lead ended."""
    now: int = connection.execute(select(now_ms())).scalar_one()
    # What ends later was kept by a clock that was ahead for a while: it is still to come.
    whole = select(resets).where(resets.c.scope == WHOLE, resets.c.ends <= now)
    now -= LAST_SALES_MS
    last = connection.execute(whole.order_by(resets.c.ends.desc()).limit(1)).one_or_none()
    first: int | None = None
    if last is None and (first := connection.execute(select(func.min(leads.c.ended_at))).scalar_one()) is None:
        return []
    return list(calendar.over(_day(last) if last else None, from_ms(first or now), from_ms(now)))


def end_days(connection: Connection, calendar: Calendar) -> list[Reset]:
    """Keep each of these days. Gives those that nobody else has kept meanwhile."""
    connection.execute(delete(resets).where(resets.c.scope == WHOLE, resets.c.ends > now_ms()))
    kept = (_keep(connection, day, WHOLE) for day in over(connection, calendar))
    return [reset for reset in kept if reset is not None]


def unlogged(connection: Connection, *, older_than_ms: int) -> list[Reset]:
    """Give what was kept so long ago and is not known to stand in the log."""
    ripe = resets.c.done_at < now_ms() - older_than_ms
    found = select(resets).where(resets.c.logged_at.is_(None), ripe).order_by(resets.c.ends, resets.c.scope)
    return [_reset(row) for row in connection.execute(found)]


def mark_logged(connection: Connection, logged: Iterable[Reset]) -> None:
    """Remember that these stand in the log."""
    for reset in logged:
        connection.execute(update(resets).where(*_key(reset.day, reset.scope)).values(logged_at=now_ms()))


def latest(connection: Connection, scopes: Sequence[str]) -> dict[str, Reset]:
    """Give the last reset of each of these scopes that has one."""
    found = select(resets).where(resets.c.scope.in_(scopes)).order_by(resets.c.ends)
    return {row.scope: _reset(row) for row in connection.execute(found)}


def late(connection: Connection, since_ms: int) -> list[Reset]:
    """Give the resets since then that the buyer was later with."""
    found = select(resets).where(resets.c.opened_at.is_not(None), resets.c.ends >= since_ms)
    return [_reset(row) for row in connection.execute(found.order_by(resets.c.scope))]


def sold_again(connection: Connection, scope: str) -> None:
    """Remember when the buyer sold again, after a reset that had come too early."""
    last = select(func.max(resets.c.ends)).where(resets.c.scope == scope).scalar_subquery()
    connection.execute(
        update(resets)
        .where(resets.c.scope == scope, resets.c.ends == last, resets.c.opened_at.is_(None))
        .values(opened_at=now_ms())
    )


def _keep(connection: Connection, day: Day, scope: str, gate: GateRow | None = None) -> Reset | None:
    begins, ends = to_ms(day.begins), to_ms(day.ends)
    brought = takings(connection, scope, begins, ends)
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    new = dialect.insert(resets).values(
        day=day.date.isoformat(),
        scope=scope,
        begins=begins,
        ends=ends,
        done_at=now_ms(),
        closed_since=gate and gate.since_ms,
        turned_away=gate.turned_away if gate else 0,
        sold=brought.sold,
        payout=brought.payout_micros,
    )
    if gate is None:
        new = new.on_conflict_do_nothing()
    else:
        # A day may end twice for a gate, where its hour or zone was changed in the midst of it.
        later = {name: new.excluded[name] for name in ("ends", "done_at", "sold", "payout")}
        later |= {"turned_away": resets.c.turned_away + new.excluded.turned_away, "logged_at": None}
        new = new.on_conflict_do_update(index_elements=["day", "scope"], set_=later)
    kept = connection.execute(new.returning(*resets.c)).one_or_none()
    return None if kept is None else _reset(kept)


def _key(day: str, scope: str) -> tuple[ColumnElement[bool], ...]:
    return resets.c.day == day, resets.c.scope == scope


def _day(row: Any) -> Day:
    return Day(date.fromisoformat(row.day), from_ms(row.begins), from_ms(row.ends))


def _reset(row: Any) -> Reset:
    return Reset(
        day=row.day,
        scope=row.scope,
        begins_ms=row.begins,
        ends_ms=row.ends,
        closed_since_ms=row.closed_since,
        turned_away=row.turned_away,
        takings=Takings(row.sold, row.payout),
        opened_ms=row.opened_at,
    )

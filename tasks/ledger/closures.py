"""Closed gates as the ledger keeps them, so that they outlive the state store."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, not_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from tasks.ledger.clock import now_ms
from tasks.ledger.rows import GateRow
from tasks.ledger.schema import gates


def now(connection: Connection) -> int:
    """Give the database's time, in milliseconds."""
    at: int = connection.execute(select(now_ms())).scalar_one()
    return at


def closed(connection: Connection) -> list[GateRow]:
    """Give the gates that are remembered as closed, whether or not their time is over."""
    rows = connection.execute(select(gates).order_by(gates.c.scope))
    return [
        GateRow(
            scope=row.scope,
            code=row.code,
            reason=row.reason,
            since_ms=row.since,
            until_ms=row.until,
            turned_away=row.turned_away,
            heard_ms=row.heard,
            calendar=row.calendar,
            probe_ms=row.probe_at,
            probes=row.probes,
        )
        for row in rows
    ]


def close(connection: Connection, gate: GateRow) -> bool:
    """Remember a closed gate. False: it was closed already; it keeps its `since`, and gets the later facts.

    A gate without an end (`until` is None: closed by hand, or by the account's code) stays so until it is opened by
    hand, whatever closed it before. One that is closed for a day keeps who is to try it when.
    """
    values: dict[str, Any] = {
        "code": gate.code,
        "reason": gate.reason,
        "until": gate.until_ms,
        "heard": gate.heard_ms,
        "calendar": gate.calendar,
    }
    probe = {"probe_at": gate.probe_ms, "probes": 0}
    lasting: ColumnElement[bool] = gates.c.until.is_(None)
    if gate.code is None:  # by hand, over what the buyer's code had closed and a lead might open
        lasting = and_(lasting, gates.c.code.is_(None))
    for_a_while = and_(gates.c.scope == gate.scope, not_(lasting))
    again = values if gate.until_ms is not None else values | probe
    if connection.execute(update(gates).where(for_a_while).values(again)).rowcount:
        return gate.until_ms is None
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    new = dialect.insert(gates).values(scope=gate.scope, since=gate.since_ms, turned_away=0, **values, **probe)
    # Not by rowcount, which SQLAlchemy gives of an INSERT on SQLite alone.
    return connection.execute(new.on_conflict_do_nothing().returning(gates.c.scope)).first() is not None


def probed(connection: Connection, scope: str, again_ms: int) -> None:
    """Remember that a lead tried a closed gate in vain, and when the next one may."""
    tried = {"probe_at": again_ms, "probes": gates.c.probes + 1, "heard": now_ms()}
    connection.execute(update(gates).where(gates.c.scope == scope, gates.c.probe_at.is_not(None)).values(tried))


def open_(connection: Connection, scope: str, *, by_probe: bool) -> bool:
    """Forget a gate; `by_probe`: only one that is to be tried. False: it was not remembered as such."""
    gate = delete(gates).where(gates.c.scope == scope)
    if by_probe:
        gate = gate.where(gates.c.probe_at.is_not(None))
    return connection.execute(gate).rowcount == 1


def turn_away(connection: Connection, scope: str) -> None:
    """Count a lead that was turned away while the state store, which counts else, was away."""
    connection.execute(update(gates).where(gates.c.scope == scope).values(turned_away=gates.c.turned_away + 1))

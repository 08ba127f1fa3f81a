"""Closed gates as the ledger keeps them, so that they outlive the state store."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, and_, delete, select, update
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
    return [GateRow(r.scope, r.code, r.reason, r.since, r.until, r.turned_away) for r in rows]


def close(connection: Connection, gate: GateRow) -> bool:
    """Remember a closed gate. False: it was closed already; it keeps its `since`, and gets the later facts.

    A gate that is closed by hand (`until` is None) stays so until it is opened by hand, whatever closed it before.
    """
    values: dict[str, Any] = {"code": gate.code, "reason": gate.reason, "until": gate.until_ms}
    for_a_while = and_(gates.c.scope == gate.scope, gates.c.until.is_not(None))
    if connection.execute(update(gates).where(for_a_while).values(values)).rowcount:
        return gate.until_ms is None
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    new = dialect.insert(gates).values(scope=gate.scope, since=gate.since_ms, turned_away=0, **values)
    # Not by rowcount, which SQLAlchemy gives of an INSERT on SQLite alone.
    return connection.execute(new.on_conflict_do_nothing().returning(gates.c.scope)).first() is not None


def open_(connection: Connection, scope: str) -> bool:
    """Forget a gate. False: it was not remembered as closed, so somebody else opened it."""
    return connection.execute(delete(gates).where(gates.c.scope == scope)).rowcount == 1


def turn_away(connection: Connection, scope: str) -> None:
    """Count a lead that was turned away while the state store, which counts else, was away."""
    connection.execute(update(gates).where(gates.c.scope == scope).values(turned_away=gates.c.turned_away + 1))

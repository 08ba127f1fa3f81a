"""What a scope has brought, and whether it still brings anything. A scope is a gate's: ``category:16001``."""

from __future__ import annotations

from typing import Final

from sqlalchemy import ColumnElement, Connection, func, or_, select

from tasks.core.outcome import Status
from tasks.ledger.report import paid
from tasks.ledger.rows import Takings
from tasks.ledger.schema import gates, leads

TEST: Final = "test/"  # before the scopes of gates that were met in test mode
_MEMBERS: Final = {"category": leads.c.numcategory, "subid": leads.c.subid}
# The buyer has said yes: a lead that was sold, or at least bid for.
_WANTED: Final = or_(leads.c.price_quoted.is_not(None), leads.c.status == Status.SOLD.value)


def takings(connection: Connection, scope: str, begins_ms: int, ends_ms: int) -> Takings:
    """Add up what was sold in a scope between two moments, the second not among them."""
    sums = select(func.count(), func.coalesce(func.sum(paid()), 0)).where(
        leads.c.status == Status.SOLD.value,
        leads.c.ended_at >= begins_ms,
        leads.c.ended_at < ends_ms,
        *_within(scope),
    )
    sold, payout = connection.execute(sums).one()
    return Takings(int(sold), int(payout))


def has_sold(connection: Connection, scope: str, since_ms: int) -> bool:
    """Whether a lead of this scope that ended since was sold."""
    sold = select(leads.c.lead_id).where(
        leads.c.status == Status.SOLD.value, leads.c.ended_at >= since_ms, *_within(scope)
    )
    return connection.execute(sold.limit(1)).first() is not None


def other_source_sells(connection: Connection, subid: str, since_ms: int) -> bool:
    """Whether the buyer has wanted a lead of another sub source that ended since, and whose gate is open."""
    closed = select(gates.c.scope)
    wanted = select(leads.c.lead_id).where(
        leads.c.ended_at >= since_ms,
        _WANTED,
        leads.c.test.is_(False),
        leads.c.subid != subid,
        ("subid:" + leads.c.subid).not_in(closed),
    )
    return connection.execute(wanted.limit(1)).first() is not None


def _within(scope: str) -> tuple[ColumnElement[bool], ...]:
    kind, _, member = scope.removeprefix(TEST).partition(":")
    test = leads.c.test.is_(scope.startswith(TEST))
    column = _MEMBERS.get(kind)
    if column is None:  # a partner, or the buyer: all leads
        return (test,)
    return (test, column == (int(member) if kind == "category" else member))

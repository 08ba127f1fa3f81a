"""Leads that stand still: what the sweep looks for."""

from __future__ import annotations

from sqlalchemy import Connection, and_, or_, select

from tasks.core.states import State
from tasks.ledger.clock import now_ms
from tasks.ledger.rows import LeadRow, lead_row
from tasks.ledger.schema import leads

WAITING = (State.RECEIVED.value, State.BID.value)


def standing_still(connection: Connection, *, message_ms: int, call_ms: int, limit: int) -> list[LeadRow]:
    """Find open leads that nobody seems to work on.

    A lead that waits (for its message) counts after `message_ms` beyond its due time, or as soon as its deadline has
    passed; one in a call counts `call_ms` after the call must have ended, whatever its deadline. Those come first: they
    are few, and a long queue must not hide them.
    """
    now = now_ms()
    waits = leads.c.state.in_(WAITING)
    found = select(*leads.c, now_ms().label("now")).where(
        leads.c.status.is_(None),
        or_(
            and_(waits, or_(leads.c.due_at < now - message_ms, leads.c.deadline_at < now)),
            and_(~waits, leads.c.due_at < now - call_ms),
        ),
    )
    return [lead_row(row) for row in connection.execute(found.order_by(waits, leads.c.due_at).limit(limit))]

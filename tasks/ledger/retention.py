"""Retention: what tells who a caller was leaves the ledger; what tells what was earned stays.

A lead's content goes, and its fingerprint with it: over a few billion possible telephone numbers, a hash is no secret
(`ops/adr/0004-retention.md`).
"""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from tasks.ledger.clock import now_ms
from tasks.ledger.schema import leads

ERASED = ""
"""The fingerprint of a lead whose content was erased: whatever comes under its id is taken for the same lead."""


def erase(connection: Connection, *, older_than_ms: int, limit: int) -> int:
    """Erase the identity of leads that ended so long ago, the oldest first. Gives how many, at most `limit`.

    A lead without an outcome is never touched, however old.
    """
    old = (
        select(leads.c.lead_id)
        .where(leads.c.status.is_not(None), leads.c.content.is_not(None), leads.c.ended_at < now_ms() - older_than_ms)
        .order_by(leads.c.ended_at)
        .limit(limit)
    )
    if connection.dialect.name == "postgresql":
        # Two at once see to different leads, and neither waits for the other.
        old = old.with_for_update(skip_locked=True)
    erased = update(leads).where(leads.c.lead_id.in_(old)).values(content=None, fingerprint=ERASED)
    return connection.execute(erased).rowcount

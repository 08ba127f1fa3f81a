"""Outcomes on their way to the producer: stored with the state, told at least once, then marked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select

from tasks.ledger import statements
from tasks.ledger.clock import now_ms
from tasks.ledger.rows import Reply, Untold
from tasks.ledger.schema import leads, replies


def untold_of(connection: Connection, lead_id: str) -> Untold | None:
    """Give one lead's outcome with the addresses that still wait for it; None before its end."""
    rows = statements.OUTCOME.rows(connection, {"its_id": lead_id})
    if not rows:
        return None
    waiting = [
        Reply(r.reply_medium, r.reply_address, r.reply_correlation_id, bool(r.reply_replayed), r.reply_id)
        for r in rows
        if r.reply_id is not None
    ]
    return _untold(rows[0], waiting)


def untold(connection: Connection, *, older_than_ms: int, limit: int) -> list[Untold]:
    """Give the outcomes that nobody has been told of for so long: what a crash, or a broker's absence, left behind."""
    ripe = leads.c.ended_at < now_ms() - older_than_ms
    never = _outcomes().where(leads.c.told_at.is_(None), leads.c.status.is_not(None), ripe)
    asked = _outcomes().where(leads.c.lead_id.in_(select(replies.c.lead_id).where(replies.c.told_at.is_(None))), ripe)
    rows = {row.lead_id: row for row in connection.execute(never.order_by(leads.c.ended_at).limit(limit))}
    rows |= {row.lead_id: row for row in connection.execute(asked.order_by(leads.c.ended_at).limit(limit))}
    waiting = _replies(connection, list(rows))
    return [_untold(row, [_reply(it) for it in waiting if it.lead_id == row.lead_id]) for row in rows.values()]


def mark_told(connection: Connection, told: Untold) -> None:
    """Remember that an outcome is in the log and with the broker, and which addresses it was sent to."""
    statements.MARK_TOLD.run(connection, {"its_id": told.lead_id})
    for reply in told.replies:
        statements.MARK_REPLY_TOLD.run(connection, {"its_id": reply.id})


def mark_logged(connection: Connection, lead_id: str) -> None:
    """Remember that an outcome is in the log, though it could not be told."""
    statements.MARK_LOGGED.run(connection, {"its_id": lead_id})


def _outcomes() -> Any:
    return select(*statements.UNTOLD).where(leads.c.outcome.is_not(None))


def _replies(connection: Connection, lead_ids: Sequence[str]) -> list[Any]:
    if not lead_ids:
        return []
    waiting = select(replies).where(replies.c.lead_id.in_(lead_ids), replies.c.told_at.is_(None))
    return list(connection.execute(waiting.order_by(replies.c.id)))


def _reply(row: Any) -> Reply:
    return Reply(row.medium, row.address, row.correlation_id, bool(row.replayed), row.id)


def _untold(row: Any, waiting: Sequence[Reply]) -> Untold:
    return Untold(
        row.lead_id,
        json.loads(row.outcome),
        tuple(waiting),
        row.now,
        row.received_at,
        int(row.buyer_ms),
        logged=row.logged_at is not None,
        first=row.told_at is None,
    )

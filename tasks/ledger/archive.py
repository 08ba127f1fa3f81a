"""The archive: the exchanges of leads that ended long ago leave the ledger for a file.

They are most of what the ledger grows by, and nothing of a lead's way asks for them again. The lead stays, with its
outcome, token and payout: it must not be sold a second time, and reports and statements ask for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, delete, exists, select, tuple_

from tasks.core.outcome import Status, rfc3339
from tasks.ledger.clock import now_ms
from tasks.ledger.rows import from_ms, money
from tasks.ledger.schema import attempts, leads

# Whether such a lead's own ping met the cap, and not a gate, its exchanges alone tell (`report`).
KEPT: Final = (Status.CAPPED.value, Status.BLOCKED.value)

Place = tuple[int, str]
"""Where a batch ended: when its last lead did (ms), and that lead's id."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some leads' exchanges: a line for each lead, as the file has it; the exchanges' own ids; where to go on."""

    lines: Sequence[Mapping[str, Any]]
    ids: Sequence[int]
    ends: Place


def old(connection: Connection, *, older_than_ms: int, after: Place | None, limit: int) -> Batch | None:
    """Read the exchanges of the leads that ended so long ago and were told, the oldest first; None: there are no more.

    `after`: where the last batch ended. `limit`: leads at most.
    """
    ended = [
        leads.c.ended_at < now_ms() - older_than_ms,
        leads.c.told_at.is_not(None),
        leads.c.status.not_in(KEPT),
        exists().where(attempts.c.lead_id == leads.c.lead_id),
    ]
    if after is not None:
        ended.append(tuple_(leads.c.ended_at, leads.c.lead_id) > tuple_(*after))
    facts = select(leads.c.lead_id, leads.c.status, leads.c.ended_at).where(*ended)
    found = connection.execute(facts.order_by(leads.c.ended_at, leads.c.lead_id).limit(limit)).all()
    if not found:
        return None
    theirs = select(attempts).where(attempts.c.lead_id.in_([lead.lead_id for lead in found])).order_by(attempts.c.id)
    made = connection.execute(theirs).mappings().all()
    lines: dict[str, dict[str, Any]] = {
        lead.lead_id: {
            "lead_id": lead.lead_id,
            "status": lead.status,
            "ended_at": rfc3339(from_ms(lead.ended_at)),
            "attempts": [],
        }
        for lead in found
    }
    for attempt in made:
        lines[attempt["lead_id"]]["attempts"].append(_plain(attempt))
    last = found[-1]
    return Batch(list(lines.values()), [attempt["id"] for attempt in made], (last.ended_at, last.lead_id))


def remove(connection: Connection, ids: Sequence[int]) -> int:
    """Remove exchanges that stand in the file. Gives how many were still here."""
    return connection.execute(delete(attempts).where(attempts.c.id.in_(ids))).rowcount


def _plain(attempt: Mapping[Any, Any]) -> dict[str, Any]:
    price = money(attempt["price"])
    return {
        **{name: value for name, value in attempt.items() if name not in ("id", "lead_id")},
        "at": rfc3339(from_ms(attempt["at"])),
        "price": None if price is None else str(price),
        "stale": bool(attempt["stale"]),
    }

"""The archive: the attempts of leads that ended long ago leave the ledger for a file.

They are two fifths of what the ledger grows by, and once its outcome is told nothing of a lead's way asks for them.
The lead stays, with its outcome, token and payout: it must not be sold again, and reports and statements ask for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, delete, exists, func, select, tuple_

from tasks.core.outcome import Status, rfc3339
from tasks.ledger.clock import now_ms
from tasks.ledger.rows import from_ms, money
from tasks.ledger.schema import attempts, leads

# Whether such a lead's own ping met the cap, and not a gate, its attempts alone tell (`report`).
KEPT: Final = (Status.CAPPED.value, Status.BLOCKED.value)

# Longer than any lead is on its way: within that, leads end in another order than that in which they were called for.
LONGEST_MS: Final = 2 * 3_600_000

Place = tuple[int, str]
"""Where a batch ended: when its last lead did (ms), and that lead's id."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some leads' attempts: a line for each lead, as the file has it; the last attempt of all; where to go on."""

    lines: Sequence[Mapping[str, Any]]
    last: int
    ends: Place


def old(connection: Connection, *, older_than_ms: int, after: Place | None, limit: int) -> Batch | None:
    """Read the attempts of the leads that ended so long ago and were told, the oldest first; None: there are no more.

    `after`: where the last batch ended. `limit`: leads at most.
    """
    # Two numbers, between which an index is read: the clock's own value would be asked for at each lead.
    end = connection.execute(select(now_ms())).scalar_one() - older_than_ms
    after = after or _start(connection)
    if after is None:
        return None
    ended = [
        leads.c.ended_at < end,
        tuple_(leads.c.ended_at, leads.c.lead_id) > tuple_(*after),
        leads.c.ended_at >= after[0],
        leads.c.told_at.is_not(None),
        leads.c.status.not_in(KEPT),
        exists().where(attempts.c.lead_id == leads.c.lead_id),
    ]
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
    ends = found[-1].ended_at, found[-1].lead_id
    return Batch(list(lines.values()), max(attempt["id"] for attempt in made), ends)


def _start(connection: Connection) -> Place | None:
    """Give a place before the first lead that may still have attempts here: older ones went with an earlier file."""
    status = select(leads.c.status).where(leads.c.lead_id == attempts.c.lead_id).scalar_subquery()
    first = select(attempts.c.at).where(func.coalesce(status, "").not_in(KEPT)).order_by(attempts.c.id).limit(1)
    at: int | None = connection.execute(first).scalar_one_or_none()
    return None if at is None else (at - LONGEST_MS, "")


def remove(connection: Connection, batch: Batch) -> int:
    """Remove attempts that stand in the file. Gives how many were still here."""
    theirs = attempts.c.lead_id.in_([line["lead_id"] for line in batch.lines])
    return connection.execute(delete(attempts).where(theirs, attempts.c.id <= batch.last)).rowcount


def _plain(attempt: Mapping[Any, Any]) -> dict[str, Any]:
    price = money(attempt["price"])
    return {
        **{name: value for name, value in attempt.items() if name not in ("id", "lead_id")},
        "at": rfc3339(from_ms(attempt["at"])),
        "price": None if price is None else str(price),
        "stale": bool(attempt["stale"]),
    }

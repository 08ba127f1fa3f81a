"""The ledger's side of a statement: leads as they are to be compared, and what a statement says of unknown ones.

A settlement never touches the lead's row: its outcome was told, and stays. Every different one is kept, and the last
counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Join, and_, case, func, insert, or_, select, update

from tasks.core.outcome import Status
from tasks.core.payout import Loss, Standing
from tasks.core.reconciliation import Claim, Entry, Settlement
from tasks.ledger.clock import now_ms
from tasks.ledger.report import paid
from tasks.ledger.rows import from_ms, micros, money, storable
from tasks.ledger.schema import call_reports, leads, settlements

AT_ONCE: Final = 500  # names in one statement, settlements in one transaction
_TOKEN_KEPT: Final = 255
# A lead that was not sold has a confirmed price where it was sold under the floor, and its number withheld.
_OWED: Final = or_(
    leads.c.status.in_([Status.SOLD.value, Status.UNKNOWN.value]),
    and_(leads.c.status.is_not(None), leads.c.price_confirmed.is_not(None)),
)


def named(connection: Connection, tokens: Iterable[str], customids: Iterable[str]) -> list[Entry]:
    """Read all leads that bear one of these names, whatever became of them."""
    found: dict[str, Entry] = {}
    for some in _portions(tokens):
        found.update((entry.lead_id, entry) for entry in _read(connection, leads.c.token.in_(some)))
    for some in _portions(customids):
        # In two, each of which has its index.
        for same in (
            and_(leads.c.lead_id.in_(some), leads.c.customid == leads.c.lead_id),
            and_(leads.c.customid.in_(some), leads.c.customid != leads.c.lead_id),
        ):
            found.update((entry.lead_id, entry) for entry in _read(connection, same))
    return list(found.values())


def ended(connection: Connection, begins_ms: int, ends_ms: int) -> list[Entry]:
    """Read the live leads that the buyer may owe for and that ended in [begins_ms, ends_ms)."""
    inside = and_(leads.c.ended_at >= begins_ms, leads.c.ended_at < ends_ms)
    return list(_read(connection, and_(inside, leads.c.test.is_(False), _OWED)))


def settle(connection: Connection, found: Sequence[Settlement], statement: str) -> int:
    """Keep what a statement says of unknown leads, and give of how many it said something new.

    That a lead was not sold is not believed against an earlier statement that has it.
    """
    lead_ids = [settlement.lead_id for settlement in found]
    columns = (leads.c.lead_id, settlements.c.sold, settlements.c.price, settlements.c.token)
    unknown = and_(leads.c.lead_id.in_(lead_ids), leads.c.status == Status.UNKNOWN.value)
    # Locked, so that of two who settle one lead the second sees what the first has kept.
    locked = select(leads.c.lead_id).where(unknown).order_by(leads.c.lead_id).with_for_update()
    connection.execute(locked).all()
    now = connection.execute(select(*columns).select_from(_with_what_is_told()).where(unknown))
    known = {row.lead_id: row for row in now}
    fresh = [it for it in found if it.lead_id in known and _is_new(it, known[it.lead_id])]
    if not fresh:
        return 0
    older = and_(settlements.c.lead_id.in_([it.lead_id for it in fresh]), settlements.c.counts.is_(True))
    connection.execute(update(settlements).where(older).values(counts=False))
    connection.execute(insert(settlements).values(settled_at=now_ms()), [_values(it, statement) for it in fresh])
    return len(fresh)


def _portions(names: Iterable[str]) -> Iterator[list[str]]:
    ordered = sorted(set(names))
    for first in range(0, len(ordered), AT_ONCE):
        yield ordered[first : first + AT_ONCE]


def _read(connection: Connection, condition: ColumnElement[bool]) -> Iterator[Entry]:
    columns = (
        leads.c.lead_id,
        leads.c.customid,
        leads.c.token,
        leads.c.state,
        leads.c.status,
        leads.c.test,
        leads.c.price_confirmed,
        leads.c.received_at,
        leads.c.ended_at,
        call_reports.c.why,
        settlements.c.sold,
        settlements.c.token.label("settled_token"),
        func.coalesce(call_reports.c.standing, Standing.OPEN.value).label("standing"),
        case((settlements.c.sold.is_(True), settlements.c.price), else_=paid()).label("paid"),
    )
    found = select(*columns).select_from(_with_what_is_told()).where(condition)
    # Unordered: to have some hundred in order, SQLite would walk through all leads that ever ended.
    for row in connection.execute(found):
        yield _entry(row)


def _with_what_is_told() -> Join:
    """Join leads with what counts of the reports of their calls and of their settlements: one row a lead."""
    reported = and_(call_reports.c.lead_id == leads.c.lead_id, call_reports.c.counts.is_(True))
    settled = and_(settlements.c.lead_id == leads.c.lead_id, settlements.c.counts.is_(True))
    return leads.outerjoin(call_reports, reported).outerjoin(settlements, settled)


def _entry(row: Any) -> Entry:
    outcome = row.status or f"{row.state}, without an outcome yet"
    return Entry(
        lead_id=row.lead_id,
        customid=row.customid,
        token=row.token or row.settled_token,
        claim=_claim(row),
        price=money(row.paid),
        received_at=from_ms(row.received_at),
        ended_at=None if row.ended_at is None else from_ms(row.ended_at),
        status=f"{outcome}, in test mode" if row.test else outcome,
        payout=Standing(row.standing),
        why=None if row.why is None else Loss(row.why),
        settled=row.sold is not None,
    )


def _claim(row: Any) -> Claim:
    if row.test or row.status is None:
        return Claim.NONE
    if row.status == Status.SOLD.value or row.sold:
        return Claim.SOLD
    if row.status == Status.UNKNOWN.value:
        return Claim.UNKNOWN
    return Claim.NONE if row.price_confirmed is None else Claim.WITHHELD


def _is_new(settlement: Settlement, known: Any) -> bool:
    if settlement.sold:
        return (known.sold, known.price, known.token) != (True, micros(settlement.price), _token(settlement))
    return known.sold is None


def _values(settlement: Settlement, statement: str) -> dict[str, Any]:
    return {
        "lead_id": settlement.lead_id,
        "statement": storable(statement),
        "sold": settlement.sold,
        "price": micros(settlement.price),
        "token": _token(settlement),
        "counts": True,
    }


def _token(settlement: Settlement) -> str | None:
    return storable(settlement.token)[:_TOKEN_KEPT] if settlement.token else None

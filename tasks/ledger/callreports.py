"""What upstream tells of sold calls: every different report is kept, and the last that came counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, insert, select, update

from tasks.core.callreport import CallReport, doubt
from tasks.core.outcome import Status
from tasks.core.payout import Payout, judge
from tasks.ledger.clock import now_ms
from tasks.ledger.rows import from_ms, to_ms
from tasks.ledger.schema import call_reports, leads


@dataclass(frozen=True, slots=True)
class Kept:
    """A report that the ledger has, with what it makes of the payout.

    `repeated`: it was there before, and nothing was changed. `corrects`: it is not the lead's first.
    """

    payout: Payout
    repeated: bool
    corrects: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """A report that can be true of no lead; nothing was kept. `reason` names the field."""

    reason: str


Told = tuple[int | None, int]


def keep(connection: Connection, reports: Sequence[CallReport]) -> list[Kept | Refused]:
    """Keep a batch of reports, and answer each in its order."""
    if not reports:
        return []
    now: int = connection.execute(select(now_ms())).scalar_one()
    lead_ids = {report.lead_id for report in reports}
    known = _leads(connection, lead_ids)
    told = _told(connection, lead_ids)
    answers = [_answer(report, known.get(report.lead_id), told[report.lead_id], now) for report in reports]
    kept = [(report, it) for report, it in zip(reports, answers, strict=True) if isinstance(it, Kept)]
    _append(connection, [(report, it.payout) for report, it in kept if not it.repeated], now)
    return answers


def _answer(report: CallReport, lead: Any, told: list[Told], now: int) -> Kept | Refused:
    if lead is None:
        return Refused("lead_id: no such lead")
    if lead.status != Status.SOLD.value:
        return Refused(f"lead_id: the lead was not sold ({lead.status or 'no outcome yet'})")
    this = _plain(report)
    payout = judge(report, forward_by=from_ms(lead.forward_by), minimum_s=lead.duration_s)
    if this in told:
        return Kept(payout, repeated=True, corrects=this != told[0])
    if why := doubt(report, sold_at=from_ms(lead.ended_at), now=from_ms(now)):
        return Refused(why)
    told.append(this)
    return Kept(payout, repeated=False, corrects=this != told[0])


def _append(connection: Connection, fresh: Sequence[tuple[CallReport, Payout]], now: int) -> None:
    if not fresh:
        return
    last = {report.lead_id: report for report, _ in fresh}
    older = and_(call_reports.c.lead_id.in_(last), call_reports.c.counts.is_(True))
    connection.execute(update(call_reports).where(older).values(counts=False))
    rows = [
        {
            "lead_id": report.lead_id,
            "reported_at": now,
            "forwarded_at": _plain(report)[0],
            "duration_ms": report.duration_ms,
            "standing": payout.standing.value,
            "why": payout.why and payout.why.value,
            "counts": report is last[report.lead_id],
        }
        for report, payout in fresh
    ]
    connection.execute(insert(call_reports), rows)


def _leads(connection: Connection, lead_ids: set[str]) -> dict[str, Any]:
    columns = (leads.c.lead_id, leads.c.status, leads.c.ended_at, leads.c.forward_by, leads.c.duration_s)
    # Locked, so that of two intakes with two reports of one lead the second sees what the first has kept.
    locked = select(*columns).where(leads.c.lead_id.in_(lead_ids)).order_by(leads.c.lead_id).with_for_update()
    return {row.lead_id: row for row in connection.execute(locked)}


def _told(connection: Connection, lead_ids: set[str]) -> dict[str, list[Told]]:
    told: dict[str, list[Told]] = {lead_id: [] for lead_id in lead_ids}
    kept = select(call_reports).where(call_reports.c.lead_id.in_(lead_ids)).order_by(call_reports.c.id)
    for row in connection.execute(kept):
        told[row.lead_id].append((row.forwarded_at, row.duration_ms))
    return told


def _plain(report: CallReport) -> Told:
    return None if report.forwarded_at is None else to_ms(report.forwarded_at), report.duration_ms

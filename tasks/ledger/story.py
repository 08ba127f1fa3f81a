"""One lead's whole story, as the ledger has it: never the caller's identity, and no key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from tasks.core.money import Money
from tasks.core.outcome import Status
from tasks.core.payout import Loss, Payout, Standing
from tasks.core.protocol import Call
from tasks.core.states import State
from tasks.ledger.clock import now_ms
from tasks.ledger.rows import from_ms, money
from tasks.ledger.schema import attempts, call_reports, leads, refusals, replies, settlements


@dataclass(frozen=True, slots=True)
class Attempt:
    """One HTTP exchange. `at`: when it was begun; `stale`: its answer came when the lead had moved on.

    `result` names what the answer was read as: ``bid``, ``sale``, ``refusal``, ``unreadable``, ``unanswered``.
    """

    call: Call
    number: int
    at: datetime
    duration_ms: int
    http_status: int | None
    result: str
    code: int | None
    reason: str | None
    token: str | None
    price: Money | None
    stale: bool
    request: Mapping[str, str]
    answer: str


@dataclass(frozen=True, slots=True)
class Asker:
    """Somebody who asked for the outcome. `replayed`: by sending the lead a second time."""

    medium: str
    address: str
    replayed: bool
    told_at: datetime | None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message under this id that never became a lead: an invalid one, or another lead with the same id."""

    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """What upstream told of the call, and what that makes of its payout. Of several, the last `counts`."""

    at: datetime
    forwarded_at: datetime | None
    duration_s: float
    standing: Standing
    why: Loss | None
    counts: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """What a statement of the buyer's says of an unknown lead. Of several, the last `counts`."""

    at: datetime
    statement: str
    sold: bool
    price: Money | None
    token: str | None
    counts: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """A lead's row, without what the producer told of the caller. Times are aware and in UTC."""

    state: State
    flow: str
    call: Call
    test: bool
    numcategory: int
    subid: str
    customid: str
    received_at: datetime
    deadline_at: datetime
    changed_at: datetime
    due_at: datetime
    pings: int
    posts: int
    offered_price: Money | None
    token: str | None
    price_quoted: Money | None
    price_confirmed: Money | None
    duration_s: int | None
    phone_number: str | None
    posted_at: datetime | None
    forward_by: datetime | None
    status: str | None
    code: int | None
    reason: str | None
    ended_at: datetime | None
    told_at: datetime | None
    last_code: int | None
    last_reason: str | None

    @property
    def price(self) -> Money | None:
        """What a sold lead is paid with, as `tasks.ledger.report.paid` reckons it."""
        agreed = self.offered_price if self.call is Call.DIRECT_POST else None
        return next((price for price in (self.price_confirmed, self.price_quoted, agreed) if price is not None), None)


@dataclass(frozen=True, slots=True)
class Story:
    """Everything about one id, in the order in which it happened. `facts` is None where no lead was ever taken in."""

    lead_id: str
    facts: Facts | None
    attempts: tuple[Attempt, ...]
    askers: tuple[Asker, ...]
    rejected: tuple[Rejected, ...]
    read_at: datetime
    reports: tuple[Report, ...] = ()
    settled: tuple[Settled, ...] = ()

    @property
    def payout(self) -> Payout | None:
        """How the payout stands; None where the lead was not sold, or only in test mode."""
        if self.facts is None or self.facts.status != Status.SOLD.value or self.facts.test:
            return None
        counting = [Payout(report.standing, report.why) for report in self.reports if report.counts]
        return counting[0] if counting else Payout(Standing.OPEN)

    @property
    def waits_for(self) -> str | None:
        """What has to happen next, and why it has not happened yet; None where nothing has to."""
        facts = self.facts
        if facts is None:
            return None
        if facts.status is not None:
            if facts.told_at is None:
                return "its outcome has not reached the broker yet; the sweep tells it again"
            untold = [asker.address for asker in self.askers if asker.told_at is None]
            return f"its outcome has to be told to {', '.join(untold)}" if untold else None
        return _next_step(facts, self.read_at)


def story(connection: Connection, lead_id: str) -> Story | None:
    """Tell what the ledger knows of an id; None where it never heard of it."""
    row = connection.execute(select(leads).where(leads.c.lead_id == lead_id)).one_or_none()
    turned_away = connection.execute(select(refusals).where(refusals.c.lead_id == lead_id).order_by(refusals.c.id))
    rejected = tuple(Rejected(from_ms(r.at), r.reason) for r in turned_away)
    if row is None and not rejected:
        return None
    made = connection.execute(select(attempts).where(attempts.c.lead_id == lead_id).order_by(attempts.c.id))
    asked = connection.execute(select(replies).where(replies.c.lead_id == lead_id).order_by(replies.c.id))
    told = select(call_reports).where(call_reports.c.lead_id == lead_id).order_by(call_reports.c.id)
    said = select(settlements).where(settlements.c.lead_id == lead_id).order_by(settlements.c.id)
    return Story(
        lead_id=lead_id,
        facts=None if row is None else _facts(row),
        attempts=tuple(map(_attempt, made)),
        askers=tuple(Asker(r.medium, r.address, bool(r.replayed), _time(r.told_at)) for r in asked),
        rejected=rejected,
        read_at=from_ms(connection.execute(select(now_ms())).scalar_one()),
        reports=tuple(map(_report, connection.execute(told))),
        settled=tuple(map(_settled, connection.execute(said))),
    )


def _next_step(facts: Facts, now: datetime) -> str:
    because = f", since {_words(facts.last_code, facts.last_reason)}" if facts.last_reason else ""
    if facts.state in (State.PINGING, State.POSTING):
        call = "ping" if facts.state is State.PINGING else facts.call if facts.call.sells else "post"
        late = "" if now <= facts.due_at else "; it never came, and the sweep sees to it"
        return f"the buyer's answer to a {call}{late}"
    if now > facts.deadline_at:
        return f"its end: the deadline has passed{because}"
    step = Call.POST if facts.state is State.BID else facts.call
    if now < facts.due_at:
        return f"the next {step}, due {facts.due_at:%H:%M:%S} UTC{because}"
    return f"a worker that takes its {step}{because}"


def _words(code: int | None, reason: str | None) -> str:
    return " ".join(str(part) for part in (code, reason) if part is not None)


def _attempt(row: Any) -> Attempt:
    return Attempt(
        call=Call(row.call),
        number=row.number,
        at=from_ms(row.at),
        duration_ms=row.duration_ms,
        http_status=row.http_status,
        result=row.result,
        code=row.code,
        reason=row.reason,
        token=row.token,
        price=money(row.price),
        stale=bool(row.stale),
        request=json.loads(row.request),
        answer=row.answer,
    )


def _report(row: Any) -> Report:
    return Report(
        at=from_ms(row.reported_at),
        forwarded_at=_time(row.forwarded_at),
        duration_s=row.duration_ms / 1000,
        standing=Standing(row.standing),
        why=None if row.why is None else Loss(row.why),
        counts=bool(row.counts),
    )


def _settled(row: Any) -> Settled:
    return Settled(
        at=from_ms(row.settled_at),
        statement=row.statement,
        sold=bool(row.sold),
        price=money(row.price),
        token=row.token,
        counts=bool(row.counts),
    )


def _facts(row: Any) -> Facts:
    return Facts(
        state=State(row.state),
        flow=row.flow,
        call=Call(row.call),
        test=bool(row.test),
        numcategory=row.numcategory,
        subid=row.subid,
        customid=row.customid,
        received_at=from_ms(row.received_at),
        deadline_at=from_ms(row.deadline_at),
        changed_at=from_ms(row.changed_at),
        due_at=from_ms(row.due_at),
        pings=row.pings,
        posts=row.posts,
        offered_price=money(row.offered_price),
        token=row.token,
        price_quoted=money(row.price_quoted),
        price_confirmed=money(row.price_confirmed),
        duration_s=row.duration_s,
        phone_number=row.phone_number,
        posted_at=_time(row.posted_at),
        forward_by=_time(row.forward_by),
        status=row.status,
        code=row.code,
        reason=row.reason,
        ended_at=_time(row.ended_at),
        told_at=_time(row.told_at),
        last_code=row.last_code,
        last_reason=row.last_reason,
    )


def _time(at: int | None) -> datetime | None:
    return None if at is None else from_ms(at)

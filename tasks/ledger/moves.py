"""The moves of a lead: each one atomic, conditional UPDATE of its row (ops/architecture.md, States).

A claim raises the epoch and returns the row; whatever a call brings is written only where state and epoch still match.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, select, update

from tasks.buyers.port import Exchange
from tasks.core.bid import Bid
from tasks.core.outcome import Outcome
from tasks.core.protocol import Call
from tasks.core.reasons import Refusal, Unanswered, Unreadable
from tasks.core.sale import Sale
from tasks.core.states import State, may_move
from tasks.ledger import limits, statements
from tasks.ledger.limits import LimitReached, Take
from tasks.ledger.rows import LeadRow, lead_row, micros, storable, to_ms
from tasks.ledger.schema import attempts, leads
from tasks.ledger.statements import CLAIMED

ANSWER_KEPT = 4000
TOKEN_KEPT = 255
_COMPACT: Final = json.JSONEncoder(separators=(",", ":")).encode
READY = {
    Call.PING: State.RECEIVED,
    Call.POST: State.BID,
    Call.ONE_STEP: State.RECEIVED,
    Call.DIRECT_POST: State.RECEIVED,
}


class ForbiddenMove(AssertionError):
    """A move that the table of states does not know: a fault of ours."""


@dataclass(frozen=True, slots=True)
class Move:
    """Where a lead goes, and what is written on the way. `due_in_ms`: until when it may stand there."""

    target: State
    due_in_ms: int = 0
    outcome: Outcome | None = None
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unsettled:
    """What a call brought, on its way into the ledger."""

    claimed: LeadRow
    exchange: Exchange
    step: Move


def read(connection: Connection, lead_id: str) -> LeadRow | None:
    """Read one lead, or None."""
    row = statements.READ.one(connection, {"its_id": lead_id})
    return None if row is None else lead_row(row)


def claim(
    connection: Connection, row: LeadRow, call: Call, budget_ms: int, take: Take | None = None
) -> LeadRow | LimitReached | None:
    """Begin a call: committed before its first byte leaves. None where another copy was first, or too late.

    What it takes from an operator's own limits is taken with it, or it is not begun.
    """
    # A ping that a crash cut short may be claimed anew from where it stands; whatever finds `posting` never posts.
    if row.state is not READY[call] and not (call is Call.PING and row.state is State.PINGING):
        raise ForbiddenMove(f"a {call} from {row.state}")
    if take is not None and (reached := limits.take(connection, take)) is not None:
        return reached
    note = None if take is None else take.note()
    claimed = statements.claim(call).one(connection, _seen(row, budget_ms) | {"its_note": note})
    if claimed is None:
        if take is not None:
            limits.undo(connection, take)
        return None
    return _claimed(row, call, claimed, note)


def carry_on(connection: Connection, after: Unsettled, row: LeadRow, call: Call, budget_ms: int) -> LeadRow | None:
    """Write a bid down and claim its post, in one UPDATE: what `settle` and `claim` do one after the other.

    `row`: the lead with its bid. None where either would have found something else; nothing was written.
    """
    if not after.step.target is row.state is READY[call]:
        raise ForbiddenMove(f"a {call} after {after.step.target}")
    _check(after.claimed.state, after.step)
    values = _storable(after.step.values)
    seen = _seen(after.claimed, budget_ms) | _new(values) | {"its_note": None}
    claimed = statements.claim(call, frozenset(values)).one(connection, seen)
    if claimed is None:
        return None
    _append_attempt(connection, after.claimed, after.exchange, stale=False)
    return _claimed(row, call, claimed, None)


def _claimed(row: LeadRow, call: Call, claimed: Any, note: str | None) -> LeadRow:
    return row._replace(
        state=CLAIMED[call],
        epoch=claimed.epoch,
        changed_ms=claimed.changed_at,
        due_ms=claimed.due_at,
        pings=claimed.pings,
        posts=claimed.posts,
        last_code=claimed.last_code,
        last_reason=claimed.last_reason,
        taken=note,
        read_ms=claimed.now,
        read_at=row.monotonic(),
    )


def move(connection: Connection, row: LeadRow, step: Move, *, sold: bool = False) -> bool:
    """Make a move if the lead still stands where `row` saw it. False: it does not, and nothing was written.

    `sold`: the buyer has bought it, whatever becomes of it here.

    Raises:
        ForbiddenMove: the table of states does not know it, it would begin a call, or it is an end without its outcome.
    """
    _check(row.state, step)
    values: dict[str, Any] = {"state": step.target.value, **_storable(step.values)}
    if step.outcome is not None:
        values |= _outcome_columns(step.outcome)
    # A sale whose number is withheld from the producer (`rejected`) is one all the same.
    keeps_its_place = step.target in (State.SOLD, State.UNKNOWN) or sold
    if row.taken is not None and not keeps_its_place:
        values["taken"] = None
    done = statements.move(frozenset(values)).run(connection, _seen(row, step.due_in_ms) | _new(values))
    if done == 1 and row.taken is not None and not keeps_its_place:
        limits.give_back(connection, row.taken)
    return done == 1


def postpone(connection: Connection, row: LeadRow, due_in_ms: int, values: Mapping[str, Any]) -> bool:
    """Say when the next step of a waiting lead is due, so that the sweep leaves it alone until then."""
    new = _new(_storable(values))
    return statements.postpone(frozenset(values)).run(connection, _seen(row, due_in_ms) | new) == 1


def settle(connection: Connection, claimed: LeadRow, exchange: Exchange, step: Move) -> bool:
    """Write what a call brought: its attempt always, its move if the claim still holds.

    A sale that comes too late for its claim leaves its facts on an `unknown` lead, and no second outcome. Written a
    second time (its first commit was in doubt), it changes nothing and answers what it answered then.
    """
    sold = isinstance(exchange.answer, Sale)
    kept = move(connection, claimed, step, sold=sold)
    if kept and claimed.taken is not None and exchange.call is Call.ONE_STEP and isinstance(exchange.answer, Sale):
        limits.add_payout(connection, claimed.taken, micros(exchange.answer.price) or 0)
    if not kept and (written := _written(connection, claimed, exchange)) is not None:
        return not written.stale
    _append_attempt(connection, claimed, exchange, stale=not kept)
    if not kept and isinstance(exchange.answer, Sale):
        _keep_the_sale(connection, claimed, exchange.answer)
    return kept


def _keep_the_sale(connection: Connection, claimed: LeadRow, sale: Sale) -> None:
    values: dict[str, Any] = {"phone_number": storable(sale.phone_number), "price_confirmed": micros(sale.price)}
    if sale.token and claimed.token is None:
        values["token"] = storable(sale.token)[:TOKEN_KEPT]
    if sale.duration_s is not None:
        values["duration_s"] = sale.duration_s
    unknown = (leads.c.lead_id == claimed.lead_id, leads.c.state == State.UNKNOWN.value)
    connection.execute(update(leads).where(*unknown).values(values))


def _written(connection: Connection, claimed: LeadRow, exchange: Exchange) -> Any:
    """Find the attempt of this very claim: its number is the claim's."""
    own = select(attempts.c.stale).where(
        attempts.c.lead_id == claimed.lead_id,
        attempts.c.call == exchange.call.value,
        attempts.c.number == _number(claimed, exchange.call),
    )
    return connection.execute(own).one_or_none()


def _number(claimed: LeadRow, call: Call) -> int:
    return claimed.posts if call.sells else claimed.pings


def _append_attempt(connection: Connection, claimed: LeadRow, exchange: Exchange, *, stale: bool) -> None:
    answer = exchange.answer
    statements.APPEND_ATTEMPT.run(
        connection,
        {
            "lead_id": claimed.lead_id,
            "call": exchange.call.value,
            "number": _number(claimed, exchange.call),
            "at": claimed.read_ms,
            "request": _COMPACT(dict(exchange.request)),
            "http_status": exchange.http_status,
            "answer": storable(exchange.raw[:ANSWER_KEPT]),
            "result": type(answer).__name__.lower(),
            "code": answer.code if isinstance(answer, Refusal) else None,
            "reason": None if (reason := _reason(answer)) is None else storable(reason),
            "duration_ms": round(exchange.duration_ms),
            "token": storable(answer.token)[:TOKEN_KEPT] if isinstance(answer, Bid | Sale) and answer.token else None,
            "price": micros(answer.price) if isinstance(answer, Bid | Sale) else None,
            "stale": stale,
        },
    )


def _seen(row: LeadRow, due_in_ms: int) -> dict[str, Any]:
    return {"its_id": row.lead_id, "its_state": row.state.value, "its_epoch": row.epoch, "due_in_ms": due_in_ms}


def _new(values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"new_{name}": value for name, value in values.items()}


def _reason(answer: object) -> str | None:
    if isinstance(answer, Refusal):
        return answer.reason
    return answer.why if isinstance(answer, Unreadable | Unanswered) else None


def _outcome_columns(outcome: Outcome) -> dict[str, Any]:
    return {
        "status": outcome.status.value,
        "code": outcome.code,
        "reason": None if outcome.reason is None else storable(outcome.reason),
        "outcome": _COMPACT(outcome.message()),
        "ended_at": to_ms(outcome.at),
        "forward_by": to_ms(outcome.forward_by) if outcome.forward_by else None,
    }


def _storable(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: storable(value) if isinstance(value, str) else value for name, value in values.items()}


def _check(source: State, step: Move) -> None:
    if not may_move(source, step.target) or step.target in CLAIMED.values():
        raise ForbiddenMove(f"{source} → {step.target}")
    status = None if step.outcome is None else step.outcome.status.value
    if status != (step.target.value if step.target.final else None):
        raise ForbiddenMove(f"{source} → {step.target} with the outcome {status}")

"""One step of a lead: claim it, ask the buyer, write down what came, say what follows.

The order is what makes a crash harmless: the claim is committed before the first byte leaves, the log line with token
and price is written before the ledger's row, the outcome is committed before it is told. Whatever is cut short after
that, the sweep finds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import structlog
from redis.exceptions import RedisError

from tasks.buyers.port import Exchange, Offer
from tasks.core import caps
from tasks.core.bid import Bid
from tasks.core.outcome import Outcome, Stage, Status
from tasks.core.protocol import Action, Call
from tasks.core.reasons import Refusal, Unanswered, Unreadable
from tasks.core.retry import delay
from tasks.core.sale import Sale
from tasks.core.states import State
from tasks.core.verdict import Accepted, Again, Delay, End, Sold, Verdict, judge
from tasks.gates.port import Admission, Capped, Go, Heard, Wait
from tasks.ledger import LeadRow, LedgerError, Move
from tasks.ledger.moves import READY
from tasks.ledger.rows import from_ms, micros
from tasks.outbox import tell_outcome
from tasks.services import Services

log = structlog.stdlib.get_logger()

T = TypeVar("T")

SHORTEST_TIMEOUT_S: Final = 1.0
# Beyond the call itself: name look-up, reading, the commit.
CALL_MARGIN_S: Final = 1.0
STORE_AWAY_S: Final = 0.5
LEDGER_AWAY_S: Final = 1.0
LEDGER_PATIENCE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Stop:
    """Nothing more to do for this message: the lead has its outcome, or another copy has the lead."""


@dataclass(frozen=True, slots=True)
class GoOn:
    """The next link of the chain may start."""


@dataclass(frozen=True, slots=True)
class Later:
    """Take the step again in `seconds`."""

    seconds: float


Next = Stop | GoOn | Later


def take(services: Services, call: Call, lead_id: str, *, redelivered: bool = False) -> Next:
    """Take a step of a lead. `redelivered`: the broker may have handed this message to a worker that died.

    Raises:
        Exception: a fault of ours; the lead is where the last committed move left it.
    """
    try:
        return _take(services, call, lead_id, redelivered=redelivered)
    except LedgerError:
        # Nothing that this step did is lost: it is found where its last commit left it, by this message or the sweep.
        log.warning("ledger.away", lead_id=lead_id, stage=_stage(call).value)
        return Later(LEDGER_AWAY_S)


def _take(services: Services, call: Call, lead_id: str, *, redelivered: bool) -> Next:
    row = services.ledger.lead(lead_id)
    if row is None or row.state.final:
        return Stop()
    if call is Call.PING and row.state is State.BID:
        # The worker died between its bid and the next message: the chain goes on from here.
        return GoOn()
    if not _is_ready(row, call, redelivered=redelivered):
        return Stop()
    if row.remaining_s <= 0:
        return expire(services, row)
    return _ask_the_gates(services, call, row)


def expire(services: Services, row: LeadRow) -> Stop:
    """End a lead whose deadline has passed, saying what it last waited for."""
    stage = Stage.POST if row.state is State.BID else Stage.PING
    last = f"; last: {row.last_reason}" if row.last_reason else ""
    reason = f"no sale before the deadline{last}"
    end(services, row, Status.EXPIRED, stage, reason, code=row.last_code)
    return Stop()


def end(
    services: Services, row: LeadRow, status: Status, stage: Stage, reason: str, *, code: int | None = None
) -> bool:
    """End a lead without a call, and tell. False: it had moved on, and nothing was done."""
    outcome = _outcome(row, status, stage, reason=reason, code=code)
    if not services.ledger.move(row, Move(State(status.value), outcome=outcome)):
        return False
    tell_outcome(services, row.lead_id, outcome)
    return True


def _is_ready(row: LeadRow, call: Call, *, redelivered: bool) -> bool:
    if row.state is READY[call]:
        return call is Call.POST or call is row.call
    # A ping that a dead worker left may be claimed anew: it costs only pace. A post is never touched.
    return call is Call.PING and row.state is State.PINGING and redelivered


def _ask_the_gates(services: Services, call: Call, row: LeadRow) -> Next:
    rules = services.rules
    timeout_s = min(rules.timeout_s(call), max(row.remaining_s, SHORTEST_TIMEOUT_S))
    budget_ms = round((timeout_s + CALL_MARGIN_S) * 1000)
    scope = caps.scope(rules.cap_scope, partner_id=rules.partner_id, numcategory=row.numcategory, subid=row.subid)
    admission: Admission
    try:
        admission = services.gates.admit(scope, budget_ms)
    except RedisError:
        log.warning("store.away", lead_id=row.lead_id, stage=_stage(call).value)
        admission = Wait(STORE_AWAY_S, "the state store is away")
    match admission:
        case Capped(scope, code, reason, until):
            until_text = f" until {until:%Y-%m-%d %H:%M} UTC" if until else ""
            end(services, row, Status.CAPPED, _stage(call), f"{reason} ({scope} is closed{until_text})", code=code)
            return Stop()
        case Wait(seconds, reason, code):
            return _wait(services, row, seconds, reason, code)
        case Go(ticket):
            claimed = services.ledger.claim(row, call, budget_ms)
            if claimed is None:
                _report(services, ticket, Heard.NOTHING)
                return Stop()
            return _call_the_buyer(services, call, claimed, ticket, timeout_s)


def _wait(services: Services, row: LeadRow, seconds: float, reason: str, code: int | None) -> Later:
    seconds = max(0.01, min(seconds, row.remaining_s))
    if row.state is State.PINGING:
        # Found so by a repeated message: it waits as any other ping does.
        _persist(lambda: services.ledger.move(row, Move(State.RECEIVED, round(seconds * 1000))))
        return Later(seconds)
    # The buyer's own words, once it has said some, tell more than what we wait for.
    values = {"last_code": code, "last_reason": reason} if code or row.last_reason is None else {}
    services.ledger.postpone(row, round(seconds * 1000), values)
    return Later(seconds)


def _call_the_buyer(services: Services, call: Call, claimed: LeadRow, ticket: str, timeout_s: float) -> Next:
    exchange = _without_number(services.buyer.ask(call, _offer(services, call, claimed), timeout_s))
    verdict = judge(call, exchange.answer, services.protocol, services.rules.floor)
    move, following = _move(services, call, claimed, verdict)
    _log_call(call, claimed, exchange)
    kept = _persist(lambda: services.ledger.settle(claimed, exchange, move))
    alarm = getattr(verdict, "alarm", None)
    if not kept:
        if isinstance(exchange.answer, Sale):
            alarm = "a sale was answered after the lead was given up as unknown: settle it with the buyer"
        following = Stop()
    if alarm:
        log.error("alarm", lead_id=claimed.lead_id, stage=_stage(call).value, reason=alarm, answer=exchange.raw)
    if kept and move.outcome is not None:
        tell_outcome(services, claimed.lead_id, move.outcome)
    # Last, since a state store that hangs must keep neither the ledger nor the producer waiting for a sale.
    _tell_the_gates(services, claimed, ticket, exchange, verdict)
    return following


def _without_number(exchange: Exchange) -> Exchange:
    """Leave a sale's number out of what is kept of its answer: an alarm must not tell a number that is withheld."""
    if not isinstance(exchange.answer, Sale):
        return exchange
    return replace(exchange, raw=exchange.raw.replace(exchange.answer.phone_number, "***"))


def _offer(services: Services, call: Call, row: LeadRow) -> Offer:
    price = row.offered_price
    if call is Call.PING:
        price = services.rules.floor if services.rules.send_floor else None
    elif call is Call.POST:
        price = row.price_quoted if services.rules.send_price else None
    return Offer(row.fields, row.customid, token=row.token if call is Call.POST else None, price=price)


def _move(services: Services, call: Call, row: LeadRow, verdict: Verdict) -> tuple[Move, Next]:
    """Turn a verdict into the lead's next state, and into what becomes of the message."""
    match verdict:
        case Accepted(bid):
            return Move(State.BID, values=_bid_columns(bid)), GoOn()
        case Sold(sale):
            return Move(State.SOLD, outcome=_sold(services, row, call, sale), values=_sale_columns(call, sale)), Stop()
        case Again(_, reason, code, retry_after_s):
            tries = row.posts if call.sells else row.pings
            seconds = delay(tries, max(row.remaining_s, 0), services.chance(), retry_after_s)
            values = {"last_code": code, "last_reason": reason}
            return Move(READY[call], round(seconds * 1000), values=values), Later(seconds)
        case End(status, reason, code, _, bid, sale):
            facts = _bid_columns(bid) if bid else {}
            if sale:
                facts |= _sale_columns(call, sale) | {"phone_number": None}
            outcome = _outcome(
                row, status, _stage(call), reason=reason, code=code, bid=bid, sale=sale if call.sells else None
            )
            return Move(State(status.value), outcome=outcome, values=facts), Stop()


def _sold(services: Services, row: LeadRow, call: Call, sale: Sale) -> Outcome:
    forward_by = from_ms(row.now_ms + services.protocol.forward_within_s * 1000)
    return _outcome(row, Status.SOLD, _stage(call), sale=sale, phone_number=sale.phone_number, forward_by=forward_by)


def _outcome(
    row: LeadRow, status: Status, stage: Stage, *, bid: Bid | None = None, sale: Sale | None = None, **facts: Any
) -> Outcome:
    quoted = bid.price if bid else row.price_quoted
    if quoted is None and row.call is Call.DIRECT_POST:
        quoted = row.offered_price
    duration_s = bid.duration_s if bid else row.duration_s
    return Outcome(
        lead_id=row.lead_id,
        status=status,
        stage=stage,
        at=from_ms(row.now_ms),
        numcategory=row.numcategory,
        subid=row.subid,
        customid=row.customid,
        price_quoted=quoted,
        price_confirmed=sale.price if sale else None,
        duration_s=sale.duration_s if sale and sale.duration_s is not None else duration_s,
        token=(bid.token if bid else None) or (sale.token if sale else None) or row.token,
        test=row.test,
        **facts,
    )


def _bid_columns(bid: Bid) -> dict[str, Any]:
    return {
        "token": bid.token,
        "price_quoted": micros(bid.price),
        "duration_s": bid.duration_s,
        "last_code": None,
        "last_reason": None,
    }


def _sale_columns(call: Call, sale: Sale) -> dict[str, Any]:
    values: dict[str, Any] = {"phone_number": sale.phone_number, "price_confirmed": micros(sale.price)}
    if sale.duration_s is not None:
        values["duration_s"] = sale.duration_s
    if sale.token is not None and call is not Call.POST:
        values["token"] = sale.token
    return values


def _tell_the_gates(services: Services, row: LeadRow, ticket: str, exchange: Exchange, verdict: Verdict) -> None:
    answer = exchange.answer
    heard = Heard.WELL
    if isinstance(answer, Unanswered | Unreadable):
        heard = Heard.NOTHING
    elif isinstance(verdict, Again) and verdict.delay is not Delay.BACKOFF:
        heard = Heard(verdict.delay.value)
    code = answer.code if isinstance(answer, Refusal) else None
    retry_after_s = answer.retry_after_s if isinstance(answer, Refusal) else None
    meaning = services.protocol.code(code).meaning if code else ""
    _report(services, ticket, heard, code=code, reason=meaning, retry_after_s=retry_after_s)
    if code and services.protocol.code(code).action is Action.CAPPED and not row.test:
        _close_the_cap(services, row, code, meaning)


def _close_the_cap(services: Services, row: LeadRow, code: int, reason: str) -> None:
    rules = services.rules
    scope = caps.scope(rules.cap_scope, partner_id=rules.partner_id, numcategory=row.numcategory, subid=row.subid)
    until = caps.next_reset(from_ms(row.now_ms), rules.zone, rules.reset)
    try:
        services.gates.close(scope, code=code, reason=reason, until=until)
    except (RedisError, LedgerError):
        log.warning("gate.not_closed", scope=scope, code=code)


def _report(
    services: Services,
    ticket: str,
    heard: Heard,
    *,
    code: int | None = None,
    reason: str = "",
    retry_after_s: float | None = None,
) -> None:
    try:
        services.gates.heard(ticket, heard, code=code, reason=reason, retry_after_s=retry_after_s)
    except RedisError:
        # The place in flight frees itself when its time is over.
        log.warning("store.away", stage="report")


def _persist(write: Callable[[], T]) -> T:
    """Write what a call brought even if the ledger is away for a while: it may be a sale, so this thread stays."""
    given_up = time.monotonic() + LEDGER_PATIENCE_S
    pause = 0.05
    while True:
        try:
            return write()
        except LedgerError:
            if time.monotonic() > given_up:
                raise
            log.warning("ledger.away", stage="settle")
        time.sleep(pause)
        pause = min(pause * 2, 1.0)


def _log_call(call: Call, row: LeadRow, exchange: Exchange) -> None:
    answer = exchange.answer
    facts: dict[str, Any] = {}
    if isinstance(answer, Bid | Sale):
        facts = {
            "token": answer.token or row.token,
            "price": str(answer.price) if answer.price else None,
            "call_duration_s": answer.duration_s,
        }
    elif isinstance(answer, Refusal):
        facts = {"code": answer.code, "reason": answer.reason, "token": row.token if call is Call.POST else None}
    else:
        facts = {"reason": answer.why, "token": row.token if call is Call.POST else None}
    log.info(
        "buyer.call",
        stage=_stage(call).value,
        call=call.value,
        lead_id=row.lead_id,
        attempt=row.posts if call.sells else row.pings,
        http_status=exchange.http_status,
        result=type(answer).__name__.lower(),
        duration_ms=round(exchange.duration_ms, 1),
        test=row.test or None,
        **facts,
    )


def _stage(call: Call) -> Stage:
    return Stage.POST if call.sells else Stage.PING

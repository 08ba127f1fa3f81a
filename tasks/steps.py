"""One step of a lead: claim it, ask the buyer, write down what came, say what follows.

The order is what makes a crash harmless: the claim is committed before the first byte leaves, the log line with token
and price is written before the ledger's row, the outcome is committed before it is told. Whatever is cut short after
that, the sweep finds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeVar

import structlog

from tasks.buyers.port import Exchange, Offer
from tasks.core.bid import Bid
from tasks.core.outcome import Outcome, Stage, Status
from tasks.core.protocol import Action, Call
from tasks.core.reasons import Refusal
from tasks.core.sale import Sale
from tasks.core.states import State
from tasks.core.verdict import judge
from tasks.gates.port import Ask, Closed, Go, Heard, Wait
from tasks.ledger import LeadRow, LedgerError, Move
from tasks.ledger.away import is_away
from tasks.ledger.limits import Take
from tasks.ledger.moves import READY, Unsettled
from tasks.ledger.rows import from_ms
from tasks.outbox import tell_outcome
from tasks.reporting import report, scopes_of, tell_the_gates
from tasks.results import GoOn, Handover, Later, Next, Stop, move_of, outcome_of, stage_of
from tasks.services import Services

log = structlog.stdlib.get_logger()

T = TypeVar("T")

SHORTEST_TIMEOUT_S: Final = 1.0
# Beyond the call itself: name look-up, reading, the commit.
CALL_MARGIN_S: Final = 1.0
LEDGER_AWAY_S: Final = 1.0
LEDGER_PATIENCE_S: Final = 60.0


def take(
    services: Services,
    call: Call,
    lead_id: str,
    *,
    redelivered: bool = False,
    carries: bool = False,
    over: Handover | None = None,
) -> Next:
    """Take a step of a lead.

    `redelivered`: the broker may have handed this message to a worker that died. `carries`: this thread takes the next
    step, too, so that a bid may be written with the claim of its post. `over`: the lead as this thread left it a moment
    ago; whether it still stands so, the claim finds out.

    Raises:
        Exception: a fault of ours; the lead is where the last committed move left it.
    """
    try:
        try:
            return _take(services, call, lead_id, redelivered=redelivered, carries=carries, over=over)
        finally:
            if over is not None:
                settle(services, over)
    except LedgerError:
        # Nothing that this step did is lost: it is found where its last commit left it, by this message or the sweep.
        return Later(LEDGER_AWAY_S)


def settle(services: Services, over: Handover) -> None:
    """Write what a call brought, if that is still to be done."""
    late, over.unsettled = over.unsettled, None
    if late is not None:
        _persist(services, lambda: services.ledger.settle(late.claimed, late.exchange, late.step))


def _take(
    services: Services, call: Call, lead_id: str, *, redelivered: bool, carries: bool, over: Handover | None
) -> Next:
    services.measures.stepped(call)
    row = over.row if over is not None else services.ledger.lead(lead_id)
    if row is None or row.state.final:
        return Stop()
    if call is Call.PING and row.state is State.BID:
        # The worker died between its bid and the next message: the chain goes on from here.
        return GoOn(row.price_quoted)
    if not _is_ready(row, call, redelivered=redelivered):
        return Stop()
    over = over or Handover(row)
    if row.remaining_s <= 0:
        settle(services, over)
        return expire(services, row)
    return _ask_the_gates(services, call, over, carries=carries)


def expire(services: Services, row: LeadRow) -> Stop:
    """End a lead whose deadline has passed, saying what it last waited for."""
    stage = Stage.POST if row.state is State.BID else Stage.PING
    last = f"; last: {row.last_reason}" if row.last_reason else ""
    reason = f"no sale before the deadline{last}"
    return Stop(end(services, row, Status.EXPIRED, stage, reason, code=row.last_code))


def end(
    services: Services, row: LeadRow, status: Status, stage: Stage, reason: str, *, code: int | None = None
) -> Outcome | None:
    """End a lead without a call, and tell. None: it had moved on, and nothing was done."""
    outcome = outcome_of(row, status, stage, reason=reason, code=code)
    if not services.ledger.move(row, Move(State(status.value), outcome=outcome)):
        return None
    tell_outcome(services, row.lead_id, outcome)
    return outcome


def _is_ready(row: LeadRow, call: Call, *, redelivered: bool) -> bool:
    if row.state is READY[call]:
        return call is Call.POST or call is row.call
    # A ping that a dead worker left may be claimed anew: it costs only pace. A post is never touched.
    return call is Call.PING and row.state is State.PINGING and redelivered


def _ask_the_gates(services: Services, call: Call, over: Handover, *, carries: bool) -> Next:
    rules, row = services.rules, over.row
    timeout_s = min(rules.timeout_s(call), max(row.remaining_s, SHORTEST_TIMEOUT_S))
    budget_ms = round((timeout_s + CALL_MARGIN_S) * 1000)
    scopes = scopes_of(services, row)
    patience_ms = round(max(row.remaining_s, 0) * 1000)
    taking = _taking(services, call, row, scopes)
    if taking is not None and (full := services.ledger.limit_reached(taking)) is not None:
        # Before it takes anything of the pace. The claim decides, should there be room here and none there.
        services.gates.leave(row.lead_id)
        settle(services, over)
        return Stop(end(services, row, Status.CAPPED, stage_of(call), full.reason))
    # What has already been bid for goes first; a lead's only call waits its turn as any ping does.
    match services.gates.admit(Ask(row.lead_id, scopes, budget_ms, patience_ms, sells=call is Call.POST)):
        case Closed() as closed:
            settle(services, over)
            return Stop(_turn_away(services, row, call, closed))
        case Wait(seconds, reason, code):
            settle(services, over)
            return _wait(services, row, seconds, reason, code)
        case Go() as go:
            claimed = services.ledger.claim(row, call, budget_ms, taking, after=over.unsettled)
            over.unsettled = None
            if isinstance(claimed, LeadRow):
                if (row.posts if call.sells else row.pings) == 0:
                    services.measures.began(call, (claimed.read_ms - row.changed_ms) / 1000)
                return _call_the_buyer(services, call, claimed, go, timeout_s, carries=carries)
            report(services, go, Heard.UNASKED)
            if claimed is None:
                return Stop()
            return Stop(end(services, row, Status.CAPPED, stage_of(call), claimed.reason))


def _turn_away(services: Services, row: LeadRow, call: Call, closed: Closed) -> Outcome | None:
    """End a lead that stands before a closed gate: at once, so that its caller can be offered to somebody else."""
    blocked = closed.code is not None and services.protocol.code(closed.code).action is Action.BLOCKED
    until = f" until {closed.until:%Y-%m-%d %H:%M} UTC" if closed.until else ""
    reason = f"{closed.reason} ({closed.scope} is closed{until})"
    status = Status.BLOCKED if blocked else Status.CAPPED
    return end(services, row, status, stage_of(call), reason, code=closed.code)


def _taking(services: Services, call: Call, row: LeadRow, scopes: tuple[str, ...]) -> Take | None:
    """Give what a call takes of the operator's own limits; None: there are none, or the lead is one of test mode."""
    limits = services.rules.limits.of(scopes)
    if not limits or row.test:
        return None
    day = services.rules.calendar.day(from_ms(row.now_ms)).isoformat()
    if not call.sells:
        return Take(day, limits, pings=1)
    price = row.offered_price if call is Call.DIRECT_POST else row.price_quoted
    return Take(day, limits, sales=1, payouts_micros=price.micros if price else 0)


def _wait(services: Services, row: LeadRow, seconds: float, reason: str, code: int | None) -> Later:
    seconds = max(0.01, min(seconds, row.remaining_s))
    if row.state is State.PINGING:
        # Found so by a repeated message: it waits as any other ping does.
        _persist(services, lambda: services.ledger.move(row, Move(State.RECEIVED, round(seconds * 1000))))
        return Later(seconds)
    # The buyer's own words, once it has said some, tell more than what we wait for.
    values = {"last_code": code, "last_reason": reason} if code or row.last_reason is None else {}
    services.ledger.postpone(row, round(seconds * 1000), values)
    return Later(seconds)


def _call_the_buyer(
    services: Services, call: Call, claimed: LeadRow, go: Go, timeout_s: float, *, carries: bool
) -> Next:
    exchange = _without_number(services.buyer.ask(call, _offer(services, call, claimed), timeout_s))
    verdict = judge(call, exchange.answer, services.protocol, services.rules.floor)
    move, following = move_of(services, call, claimed, verdict)
    _log_call(call, claimed, exchange)
    services.measures.heard(exchange)
    ping_refused = isinstance(exchange.answer, Refusal) and not call.sells
    if ping_refused:
        # First, since others are about to call: a cap, a limit or maintenance is everybody's.
        tell_the_gates(services, claimed, go, exchange, verdict)
    if carries and isinstance(following, GoOn) and following.over is not None:
        following.over.unsettled = Unsettled(claimed, exchange, move)
        tell_the_gates(services, claimed, go, exchange, verdict)
        return following
    kept, untold = _persist(services, lambda: services.ledger.end(claimed, exchange, move))
    alarm = getattr(verdict, "alarm", None)
    if not kept:
        if isinstance(exchange.answer, Sale):
            alarm = "a sale was answered after the lead was given up as unknown: settle it with the buyer"
        following = Stop()
    if alarm:
        log.error("alarm", lead_id=claimed.lead_id, stage=stage_of(call).value, reason=alarm, answer=exchange.raw)
    if kept and move.outcome is not None:
        tell_outcome(services, claimed.lead_id, move.outcome, untold)
    if not ping_refused:
        # Last, since a state store that hangs must not let the ledger and the producer wait for what a post brought.
        tell_the_gates(services, claimed, go, exchange, verdict)
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


def _persist(services: Services, write: Callable[[], T]) -> T:
    """Write what a call brought even if the ledger is away for a while: it may be a sale, so this thread stays."""
    given_up = services.monotonic() + LEDGER_PATIENCE_S
    pause = 0.05
    while True:
        try:
            return write()
        except LedgerError as fault:
            # A row that the database refuses is no better later.
            if services.monotonic() > given_up or not is_away(fault):
                raise
        services.sleep(pause)
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
        stage=stage_of(call).value,
        call=call.value,
        lead_id=row.lead_id,
        attempt=row.posts if call.sells else row.pings,
        http_status=exchange.http_status,
        result=type(answer).__name__.lower(),
        duration_ms=round(exchange.duration_ms, 1),
        test=row.test or None,
        **facts,
    )

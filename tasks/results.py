"""What a step writes down: from a verdict to the lead's next state, its outcome, and what becomes of the message."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tasks.core.bid import Bid
from tasks.core.money import Money
from tasks.core.outcome import Outcome, Stage, Status
from tasks.core.protocol import Call
from tasks.core.retry import delay
from tasks.core.sale import Sale
from tasks.core.states import State
from tasks.core.verdict import Accepted, Again, End, Sold, Verdict
from tasks.ledger import LeadRow, Move
from tasks.ledger.moves import READY, Unsettled
from tasks.ledger.rows import from_ms, micros, storable
from tasks.services import Services


@dataclass(frozen=True, slots=True)
class Stop:
    """Nothing more to do for this message: the lead has its outcome, or (None) another copy has the lead."""

    outcome: Outcome | None = None


@dataclass(slots=True)
class Handover:
    """A lead as a step leaves it to the next one in the same thread, where `unsettled` is yet to be written."""

    row: LeadRow = field(repr=False)
    unsettled: Unsettled | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class GoOn:
    """The next link of the chain may start: there is a bid, at this price where it named one.

    `over`: what whoever goes on at once needs not look up.
    """

    price: Money | None = None
    over: Handover | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Later:
    """Take the step again in `seconds`."""

    seconds: float


Next = Stop | GoOn | Later


def move_of(services: Services, call: Call, row: LeadRow, verdict: Verdict) -> tuple[Move, Next]:
    """Turn a verdict into the lead's next state, and into what becomes of the message."""
    match verdict:
        case Accepted(bid):
            return Move(State.BID, values=_bid_columns(bid)), GoOn(bid.price, Handover(_with_bid(row, bid)))
        case Sold(sale):
            outcome = _sold(services, row, call, sale)
            return Move(State.SOLD, outcome=outcome, values=_sale_columns(call, sale)), Stop(outcome)
        case Again(_, reason, code, retry_after_s):
            tries = row.posts if call.sells else row.pings
            seconds = delay(tries, max(row.remaining_s, 0), services.chance(), retry_after_s)
            values = {"last_code": code, "last_reason": reason}
            return Move(READY[call], round(seconds * 1000), values=values), Later(seconds)
        case End(status, reason, code, _, bid, sale):
            facts = _bid_columns(bid) if bid else {}
            if sale:
                facts |= _sale_columns(call, sale) | {"phone_number": None}
            outcome = outcome_of(
                row, status, stage_of(call), reason=reason, code=code, bid=bid, sale=sale if call.sells else None
            )
            return Move(State(status.value), outcome=outcome, values=facts), Stop(outcome)


def _sold(services: Services, row: LeadRow, call: Call, sale: Sale) -> Outcome:
    forward_by = from_ms(row.now_ms + services.protocol.forward_within_s * 1000)
    return outcome_of(
        row, Status.SOLD, stage_of(call), sale=sale, phone_number=sale.phone_number, forward_by=forward_by
    )


def outcome_of(
    row: LeadRow, status: Status, stage: Stage, *, bid: Bid | None = None, sale: Sale | None = None, **facts: Any
) -> Outcome:
    """Give a lead's outcome: what the row knows, and what the last answer added."""
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


def words(following: Stop | GoOn) -> str | None:
    """Say for who watches tasks what a step brought: ``bid 12.50``, ``sold 12.50``, ``rejected 5000``, ``expired``.

    None: nothing, another copy of the message has the lead. Never a buyer's own words: they may hold the caller.
    """
    if isinstance(following, GoOn):
        return "bid" if following.price is None else f"bid {following.price}"
    if (outcome := following.outcome) is None:
        return None
    fact = outcome.price if outcome.status is Status.SOLD else outcome.code
    told = (outcome.status.value, fact, "test" if outcome.test else None)
    return " ".join(str(word) for word in told if word is not None)


def stage_of(call: Call) -> Stage:
    """Give the stage that a call belongs to."""
    return Stage.POST if call.sells else Stage.PING


def _with_bid(row: LeadRow, bid: Bid) -> LeadRow:
    """Give a lead as it stands after its bid is written down."""
    return row._replace(
        state=State.BID,
        changed_ms=row.now_ms,
        token=storable(bid.token),
        price_quoted=bid.price,
        duration_s=bid.duration_s,
        last_code=None,
        last_reason=None,
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

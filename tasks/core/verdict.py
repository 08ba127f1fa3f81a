"""What follows from an answer: the one place that turns the buyer's words into what a lead does next.

| answer                    | to a ping                       | to a post, one-step call, direct post          |
|---------------------------|---------------------------------|------------------------------------------------|
| bid                       | bid (or under the floor)        | unreadable: a sale was due                     |
| sale                      | unreadable: a bid was due       | sold (one-step under the floor: withheld)      |
| code: wait, slow          | again                           | again: the code proves that there was no sale  |
| code: capped, blocked, …  | the end                         | the end                                        |
| refusal without a code    | rejected                        | rejected                                       |
| unreadable                | again, alarm                    | unknown, alarm                                 |
| not one byte sent         | again                           | again                                          |
| no answer after that      | again                           | unknown, alarm                                 |
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from tasks.core.bid import Bid
from tasks.core.money import Money
from tasks.core.outcome import Status
from tasks.core.protocol import Action, Call, Protocol
from tasks.core.reasons import Answer, Refusal, Unanswered, Unreadable
from tasks.core.sale import Sale


class Delay(StrEnum):
    """Why a step is taken again."""

    WAIT = "wait"
    SLOW = "slow"
    BACKOFF = "backoff"


@dataclass(frozen=True, slots=True)
class Accepted:
    """A bid to post against."""

    bid: Bid


@dataclass(frozen=True, slots=True)
class Sold:
    """A phone number to forward the caller to."""

    sale: Sale


@dataclass(frozen=True, slots=True)
class Again:
    """Not the end, and certainly no sale: take the step once more, inside the deadline."""

    delay: Delay
    reason: str
    code: int | None = None
    retry_after_s: float | None = None
    alarm: str | None = None


@dataclass(frozen=True, slots=True)
class End:
    """The lead's end without a sale that could be told. `bid` and `sale` are what the answer said all the same."""

    status: Status
    reason: str
    code: int | None = None
    alarm: str | None = None
    bid: Bid | None = None
    sale: Sale | None = None


Verdict = Accepted | Sold | Again | End


def judge(call: Call, answer: Answer, protocol: Protocol, floor: Money) -> Verdict:
    """Decide what an answer means for the lead. `floor` is the lowest price to sell at (`PINGPOST_MIN_PRICE`)."""
    match answer:
        case Bid():
            if call.sells:  # not a sale, but no refusal either: to post against it could sell the lead twice
                return _judge_unreadable(call, Unreadable("a bid where a sale was due"))
            return _judge_bid(answer, floor)
        case Sale():
            if not call.sells:
                return _judge_unreadable(call, Unreadable("a sale where a bid was due"))
            return _judge_sale(call, answer, floor)
        case Refusal():
            return _judge_refusal(answer, protocol)
        case Unreadable():
            return _judge_unreadable(call, answer)
        case Unanswered(why, never_sent):
            if call.sells and not never_sent:
                reason = f"no answer to a {call} that was sent ({why}); the lead may be sold"
                return End(Status.UNKNOWN, reason, alarm=reason)
            return Again(Delay.BACKOFF, why)
        case _:  # pragma: no cover - mypy proves that there is no other answer
            assert_never(answer)


def _judge_unreadable(call: Call, answer: Unreadable) -> Verdict:
    alarm = f"the buyer's answer to a {call} could not be read: {answer.why}"
    if call.sells:
        reason = f"the answer could not be read ({answer.why}); the lead may be sold"
        return End(Status.UNKNOWN, reason, alarm=alarm)
    return Again(Delay.BACKOFF, f"unreadable answer: {answer.why}", retry_after_s=answer.retry_after_s, alarm=alarm)


def _judge_bid(bid: Bid, floor: Money) -> Verdict:
    if bid.price < floor:
        return End(Status.REJECTED, f"bid {bid.price} is under the floor of {floor}", bid=bid)
    return Accepted(bid)


def _judge_sale(call: Call, sale: Sale, floor: Money) -> Verdict:
    if call is Call.ONE_STEP and sale.price is not None and sale.price < floor:
        reason = f"sold at {sale.price}, under the floor of {floor}: the number is withheld, the buyer may count a sale"
        return End(Status.REJECTED, reason, alarm=reason, sale=sale)
    return Sold(sale)


def _judge_refusal(refusal: Refusal, protocol: Protocol) -> Verdict:
    if refusal.code is None:
        return End(Status.REJECTED, refusal.reason or "rejected without a reason")
    code = protocol.code(refusal.code)
    reason = refusal.reason or code.meaning
    match code.action:
        case Action.WAIT | Action.SLOW:
            return Again(Delay(code.action.value), reason, code.number, refusal.retry_after_s)
        case Action.BLOCKED:
            return End(Status.BLOCKED, reason, code.number, alarm=f"{code.number}: {code.meaning}")
        case Action.CAPPED:
            return End(Status.CAPPED, reason, code.number)
        case Action.REJECTED:
            alarm = None if code.listed else f"{code.number} is not a code of the page: {code.meaning}"
            return End(Status.REJECTED, reason, code.number, alarm=alarm)
        case _:  # pragma: no cover - mypy proves that there is no other action
            assert_never(code.action)

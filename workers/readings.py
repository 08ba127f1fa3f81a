"""How an answer of the buyer's was read, for people and scripts."""

from __future__ import annotations

from typing import Any

from tasks.core.bid import Bid
from tasks.core.reasons import Answer, Refusal, Unanswered, Unreadable
from tasks.core.sale import Sale


def as_object(answer: Answer) -> dict[str, Any]:
    """Give the reading's name and its facts; a fact that was not told is None."""
    match answer:
        case Bid(price, token, duration_s):
            return {"reading": "bid", "price": str(price), "token": token, "duration_s": duration_s}
        case Sale(phone_number, price, duration_s, token):
            told = {"phone_number": phone_number, "price": str(price) if price else None}
            return {"reading": "sale", **told, "duration_s": duration_s, "token": token}
        case Refusal(code, reason, retry_after_s):
            return {"reading": "refusal", "code": code, "reason": reason, "retry_after_s": retry_after_s}
        case Unreadable(why) | Unanswered(why):
            return {"reading": type(answer).__name__.lower(), "why": why}

"""The one place where the chain is wired."""

from __future__ import annotations

from celery import Signature, chain

from tasks.core.lead import Flow, Lead
from tasks.core.money import Money
from tasks.core.protocol import Call
from tasks.direct_post import direct_post
from tasks.one_step import one_step
from tasks.ping import ping
from tasks.post import post


def first_call(lead: Lead, listed_price: Money | None) -> tuple[Call, Money | None]:
    """Choose a lead's first call, and the price of a direct post.

    A direct post needs a price: the lead's own, else the ziplist's. A lead that has neither is pinged.
    """
    if lead.flow is Flow.ONE_STEP:
        return Call.ONE_STEP, None
    price = lead.price or listed_price
    if lead.flow is Flow.DIRECT_POST and price is not None:
        return Call.DIRECT_POST, price
    return Call.PING, None


def sale_of(lead_id: str, call: Call) -> Signature:
    """Give what sells a lead from `call` on: ping → post, or a single call."""
    match call:
        case Call.PING:
            return chain(ping.si(lead_id), post.si(lead_id))
        case Call.POST:
            return post.si(lead_id)
        case Call.ONE_STEP:
            return one_step.si(lead_id)
        case Call.DIRECT_POST:
            return direct_post.si(lead_id)

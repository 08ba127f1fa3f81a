"""What is offered in these tests, and what a call of it sends."""

from __future__ import annotations

from typing import Any

from tasks.buyers.letsmakealead.wire import Sender, SendPrice, request_fields
from tasks.buyers.port import Offer
from tasks.buyers.registry import load_protocol
from tasks.core.money import Money
from tasks.core.protocol import Call

PROTOCOL = load_protocol()
PRICE = Money.parse("12.50")
FULL = {rule.name: f"<{rule.name}>" for rule in PROTOCOL.lead_fields}


def sent(call: Call, send_price: SendPrice = "none", resptype: str = "JSON", **offer: Any) -> dict[str, str]:
    given = {"fields": FULL, "customid": "lead-1", "token": "t-1", "price": PRICE, **offer}
    return request_fields(call, Offer(**given), Sender("XYZ", "secret", resptype, send_price), PROTOCOL)

"""The port to a buyer: what a step hands over, and what it gets back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tasks.core.money import Money
from tasks.core.protocol import Call
from tasks.core.reasons import Answer


@dataclass(frozen=True, slots=True)
class Offer:
    """What one call offers: the lead's fields, our customid, and what the call is made against.

    `token` is the accepted ping's (post); `price` the agreed one (direct post, or where configuration sends it), and
    `price_text` how it is written where the buyer's page gives the very text (its test mode).
    """

    fields: Mapping[str, str] = field(repr=False)
    customid: str
    token: str | None = None
    price: Money | None = None
    price_text: str | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """One HTTP exchange, fit to be kept: `request` and `raw` are masked and cut, and hold neither key nor identity."""

    call: Call
    answer: Answer
    http_status: int | None
    duration_ms: float
    request: Mapping[str, str]
    raw: str


class Buyer(Protocol):
    """Somebody who answers pings and posts."""

    def ask(self, call: Call, offer: Offer, timeout_s: float) -> Exchange:
        """Make one call and read its answer. Never raises for what the buyer or the network does; never repeats."""
        ...

"""A bid: what the buyer offers for a lead at the ping."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.core.money import Money


@dataclass(frozen=True, slots=True)
class Bid:
    """An accepted ping: a price, the token to post against, and how many seconds the call must last (where told)."""

    price: Money
    token: str
    duration_s: int | None = None

"""A sale: the buyer took the lead and told where to forward the caller."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.core.money import Money


@dataclass(frozen=True, slots=True)
class Sale:
    """An accepted post, one-step call or direct post. Price, duration and token stand where the answer tells them."""

    phone_number: str
    price: Money | None = None
    duration_s: int | None = None
    token: str | None = None

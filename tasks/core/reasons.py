"""Every way in which a call ends other than in a bid or a sale."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.core.bid import Bid
from tasks.core.sale import Sale


@dataclass(frozen=True, slots=True)
class Refusal:
    """The buyer said no: with a code, with words (masked), or with both. `retry_after_s` is the header's, as told."""

    code: int | None = None
    reason: str | None = None
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An answer that fits no reading: neither a sale nor a refusal. `why` says what was missing or contradictory."""

    why: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Unanswered:
    """No whole answer came. `never_sent`: not one byte of the request left, so that there can be no sale."""

    why: str
    never_sent: bool = False


Answer = Bid | Sale | Refusal | Unreadable | Unanswered

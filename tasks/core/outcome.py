"""An outcome: what the producer is told, once decided and never changed (contract, An outcome)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from tasks.core.money import Money

REASON_LENGTH = 500


class Status(StrEnum):
    """How it ended."""

    SOLD = "sold"
    REJECTED = "rejected"
    CAPPED = "capped"
    EXPIRED = "expired"
    INVALID = "invalid"
    BLOCKED = "blocked"
    UNKNOWN = "unknown"
    FAILED = "failed"


class Stage(StrEnum):
    """Where it ended. One-step calls and direct posts are posts."""

    INTAKE = "intake"
    PING = "ping"
    POST = "post"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One lead's end. Times are aware and in UTC; what is not known is None, and absent from the message."""

    lead_id: str
    status: Status
    stage: Stage
    at: datetime
    numcategory: int | None = None
    subid: str | None = None
    customid: str | None = None
    phone_number: str | None = None
    forward_by: datetime | None = None
    price_quoted: Money | None = None
    price_confirmed: Money | None = None
    duration_s: int | None = None
    token: str | None = None
    code: int | None = None
    reason: str | None = None
    test: bool = False

    @property
    def price(self) -> Money | None:
        """What the buyer pays: the confirmed price, else the quoted."""
        return self.price_quoted if self.price_confirmed is None else self.price_confirmed

    def message(self, *, now: datetime | None = None, replayed: bool = False) -> dict[str, Any]:
        """Give the JSON object that is told; `now` is when, and makes a sale told after `forward_by` late."""
        told: dict[str, Any] = {
            "lead_id": self.lead_id,
            "status": self.status.value,
            "stage": self.stage.value,
            "at": rfc3339(self.at),
            "numcategory": self.numcategory,
            "subid": self.subid,
            "customid": self.customid,
            "phone_number": self.phone_number,
            "forward_by": rfc3339(self.forward_by) if self.forward_by else None,
            "price_quoted": _dollars(self.price_quoted),
            "price_confirmed": _dollars(self.price_confirmed),
            "price": _dollars(self.price),
            "duration_s": self.duration_s,
            "token": self.token,
            "code": self.code,
            "reason": self.reason[:REASON_LENGTH] if self.reason else None,
            "replayed": replayed or None,
            "late": self.is_late(now) or None,
            "test": self.test or None,
        }
        return {name: value for name, value in told.items() if value is not None}

    def is_late(self, now: datetime | None) -> bool:
        """Whether a caller must no longer be forwarded at `now`."""
        return self.forward_by is not None and now is not None and now > self.forward_by


def rfc3339(at: datetime) -> str:
    """Write an aware UTC time with milliseconds, as ``2026-11-23T18:00:00.000Z``."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _dollars(amount: Money | None) -> str | None:
    return None if amount is None else str(amount)

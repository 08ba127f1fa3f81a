"""A lead: a caller on the line, as a producer offers them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from tasks.core.money import Money


class Flow(StrEnum):
    """How a lead is sold."""

    PING_POST = "ping_post"
    ONE_STEP = "one_step"
    DIRECT_POST = "direct_post"


@dataclass(frozen=True, slots=True)
class Lead:
    """A valid lead.

    `fields` holds the buyer's fields that the producer filled in, all as strings; it includes the caller's identity and
    is kept out of every ``repr``. `created_at` is aware; `deadline_s` counts from it. `price` is a direct post's.
    """

    lead_id: str
    flow: Flow
    fields: Mapping[str, str] = field(repr=False)
    deadline_s: float
    created_at: datetime | None = None
    price: Money | None = None

    @property
    def numcategory(self) -> int:
        """The category's number."""
        return int(self.fields["numcategory"])

    @property
    def subid(self) -> str:
        """The sub source."""
        return self.fields["subid"]

    @property
    def customid(self) -> str:
        """What the buyer gets as ``customid``: the lead's own, else its id (buyer-api, Fields)."""
        return self.fields.get("customid") or self.lead_id

    def fingerprint(self) -> str:
        """Tell the same lead sent twice from another one under its id.

        Times are left out: a producer that sends again may stamp the message anew.
        """
        content = {
            "fields": dict(self.fields),
            "flow": self.flow,
            "price": None if self.price is None else str(self.price),
        }
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(canonical.encode()).hexdigest()

"""What the ledger hands out: rows with types, and the shapes of what it takes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from tasks.core.lead import Lead
from tasks.core.money import Money
from tasks.core.protocol import Call
from tasks.core.states import State


def from_ms(at: int) -> datetime:
    """Read the ledger's milliseconds as an aware UTC time."""
    return datetime.fromtimestamp(at / 1000, UTC)


def to_ms(at: datetime) -> int:
    """Write an aware time as the ledger's milliseconds."""
    return round(at.timestamp() * 1000)


def money(micros: int | None) -> Money | None:
    """Read a price column."""
    return None if micros is None else Money(micros)


def micros(amount: Money | None) -> int | None:
    """Write a price column."""
    return None if amount is None else amount.micros


def storable(text: str) -> str:
    """Give a stranger's text as every database takes it: PostgreSQL has no NUL, and nobody a lone surrogate.

    What a buyer or a producer wrote must never be the reason why a sale is not written down.
    """
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\N{REPLACEMENT CHARACTER}")


@dataclass(frozen=True, slots=True)
class Reply:
    """Who asked for an outcome. `medium`: ``queue`` (a message) or ``list`` (plain JSON on a Redis list)."""

    medium: str
    address: str
    correlation_id: str | None = None
    replayed: bool = False
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """A lead at the front door. `redelivered`: the broker says that it may have handed this message out before."""

    lead: Lead
    call: Call
    test: bool
    reply: Reply | None = None
    redelivered: bool = False
    sent_at: datetime | None = None
    agreed_price: Money | None = None  # a direct post's, the lead's own or the ziplist's


class Reception(StrEnum):
    """What the ledger made of an arrival."""

    NEW = "new"
    OPEN = "open"  # known, and not at its end yet
    ENDED = "ended"  # known, with its outcome
    CONFLICT = "conflict"  # its id belongs to another lead


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer to an arrival.

    `replay`: a second sending of a known lead. `outcome` stands where the lead has one; `stands_still` where the chain
    of a lead that was taken in may never have been published.
    """

    reception: Reception
    replay: bool = False
    outcome: Mapping[str, Any] | None = None
    stands_still: bool = False
    call: Call | None = None


class LeadRow(NamedTuple):
    """A lead as it stands. `read_ms` is the database's time of reading, `read_at` that of `monotonic`, in seconds.

    `changed_ms`: since when it stands in its state. `taken`: what the post under way took of an operator's own limits
    (`limits.Take.note`). A tuple, since each step makes another one, and of a frozen dataclass that takes four times as
    long.
    """

    lead_id: str
    state: State
    epoch: int
    call: Call
    test: bool
    numcategory: int
    subid: str
    customid: str
    deadline_ms: int
    due_ms: int
    pings: int
    posts: int
    token: str | None
    price_quoted: Money | None
    duration_s: int | None
    offered_price: Money | None
    last_code: int | None
    last_reason: str | None
    read_ms: int
    fields: Mapping[str, str]
    read_at: float
    changed_ms: int
    taken: str | None = None
    monotonic: Callable[[], float] = time.monotonic

    def __repr__(self) -> str:
        """Show where it stands. Nothing of the caller is shown: it might reach a log."""
        return f"LeadRow(lead_id={self.lead_id!r}, state={self.state.value!r}, epoch={self.epoch})"

    @property
    def now_ms(self) -> int:
        """The database's time now, by the time that has passed since the row was read."""
        return self.read_ms + round((self.monotonic() - self.read_at) * 1000)

    @property
    def remaining_s(self) -> float:
        """Seconds until the deadline; negative after it."""
        return (self.deadline_ms - self.now_ms) / 1000


@dataclass(frozen=True, slots=True)
class Untold:
    """An outcome that has to be told, and to whom. `logged`: its log line is known to be written.

    `first`: nobody has been told yet. `received_ms`: when its lead was taken in, of which `buyer_ms` went by in calls.
    """

    lead_id: str
    outcome: Mapping[str, Any]
    replies: tuple[Reply, ...]
    now_ms: int
    received_ms: int
    buyer_ms: int
    logged: bool = True
    first: bool = True


@dataclass(frozen=True, slots=True)
class GateRow:
    """A closed gate as the ledger remembers it.

    One that is closed for a day has when its code was last heard, and the calendar by which its end was reckoned.
    `probe_ms`: when one lead may try it; `probes` have tried in vain.
    """

    scope: str
    code: int | None
    reason: str
    since_ms: int
    until_ms: int | None
    turned_away: int = 0
    heard_ms: int | None = None
    calendar: str | None = None
    probe_ms: int | None = None
    probes: int = 0


@dataclass(frozen=True, slots=True)
class Takings:
    """What was sold: how many leads, and their payout in micro-dollars (confirmed where that is known, else quoted)."""

    sold: int
    payout_micros: int


@dataclass(frozen=True, slots=True)
class Reset:
    """A day of the buyer's that is over, in a scope whose gate was closed in it, or (`buyer`) as a whole.

    `opened_ms`: when the buyer sold again, where that was found out by probes after the reset.
    """

    day: str
    scope: str
    begins_ms: int
    ends_ms: int
    closed_since_ms: int | None
    turned_away: int
    takings: Takings
    opened_ms: int | None = None


def lead_row(row: Any) -> LeadRow:
    """Make a `LeadRow` of a database row that carries `now`."""
    return LeadRow(
        lead_id=row.lead_id,
        state=State(row.state),
        epoch=row.epoch,
        call=Call(row.call),
        test=bool(row.test),
        numcategory=row.numcategory,
        subid=row.subid,
        customid=row.customid,
        deadline_ms=row.deadline_at,
        due_ms=row.due_at,
        pings=row.pings,
        posts=row.posts,
        token=row.token,
        price_quoted=money(row.price_quoted),
        duration_s=row.duration_s,
        offered_price=money(row.offered_price),
        last_code=row.last_code,
        last_reason=row.last_reason,
        read_ms=row.now,
        fields=json.loads(row.content) if row.content else {},
        read_at=time.monotonic(),
        changed_ms=row.changed_at,
        taken=row.taken,
    )

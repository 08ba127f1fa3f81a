"""The port to the gates: what a step asks before a call, and what it reports after one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

PACE_SCOPE: Final = "buyer"  # the gate that 1000 and 1100 close for all leads


class Heard(StrEnum):
    """What an answer says of the buyer as a whole."""

    WELL = "well"  # the buyer works: a bid, a sale, an ordinary refusal
    WAIT = "wait"  # 1000
    SLOW = "slow"  # 1100
    NOTHING = "nothing"  # no answer, or one that says nothing of the kind


@dataclass(frozen=True, slots=True)
class Go:
    """The call may be made now; `ticket` is handed back with what was heard."""

    ticket: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now: try again in `seconds`. `code` and `reason` say what all workers wait for, where it is known."""

    seconds: float
    reason: str
    code: int | None = None


@dataclass(frozen=True, slots=True)
class Capped:
    """The gate of the lead's scope is closed until `until` (UTC; None: until an operator opens it)."""

    scope: str
    code: int | None
    reason: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate as it stands (contract, Commands: `gates --json`). Times are aware, in UTC."""

    scope: str
    closed: bool
    code: int | None = None
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    turned_away: int = 0


Admission = Go | Wait | Capped


class Gates(Protocol):
    """Shared by all workers: caps, and the pace at which the buyer is called."""

    def admit(self, scope: str, budget_ms: int) -> Admission:
        """Ask for a call that takes at most `budget_ms`. A lead that is turned away from a closed gate is counted."""
        ...

    def heard(self, ticket: str, heard: Heard, *, code: int | None, reason: str, retry_after_s: float | None) -> None:
        """Report what a call brought. 1000 and 1100 make all workers wait together."""
        ...

    def close(self, scope: str, *, code: int | None, reason: str, until: datetime | None) -> bool:
        """Close a gate. False: it was closed already."""
        ...

    def open(self, scope: str, why: str) -> bool:
        """Open a gate. False: it was not closed."""
        ...

    def reset(self) -> list[Gate]:
        """Open the caps whose day is over, and give each once, however many ask at the same time."""
        ...

    def all(self) -> Iterator[Gate]:
        """Give every gate that has ever been closed and not forgotten."""
        ...

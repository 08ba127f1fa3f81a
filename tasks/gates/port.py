"""The port to the gates: what a step asks before a call, and what it reports after one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from tasks.ledger.rows import Takings

PACE_SCOPE: Final = "buyer"  # the gate that maintenance, silence and the rate limit close for all leads


class Heard(StrEnum):
    """What an answer says of the buyer as a whole."""

    WELL = "well"  # the buyer works: a bid, a sale, an ordinary refusal
    WAIT = "wait"  # 1000
    SLOW = "slow"  # 1100
    NOTHING = "nothing"  # no answer: a run of them is as good as a 1000
    GARBLED = "garbled"  # one that cannot be read: the buyer is there, and that is all
    UNASKED = "unasked"  # the call was not made after all


@dataclass(frozen=True, slots=True)
class Ask:
    """A call that wants to be made, for a lead that must pass the gates of all `scopes`.

    `sells` goes before what does not. The call takes at most `budget_ms`; the lead can wait for `patience_ms`.
    """

    lead_id: str
    scopes: tuple[str, ...]
    budget_ms: int
    patience_ms: int
    sells: bool = False


@dataclass(frozen=True, slots=True)
class Probe:
    """A closed gate that one call tries, and the code that closed it."""

    scope: str
    code: int | None


@dataclass(frozen=True, slots=True)
class Go:
    """The call may be made now; `ticket` is handed back with what was heard.

    `probes`: closed gates that this call alone may pass, to find out whether the buyer buys again.
    """

    ticket: str
    probes: tuple[Probe, ...] = ()


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now: try again in `seconds`. `code` and `reason` say what all workers wait for, where it is known."""

    seconds: float
    reason: str
    code: int | None = None


@dataclass(frozen=True, slots=True)
class Closed:
    """A gate of the lead's is closed until `until` (UTC; None: until an operator opens it)."""

    scope: str
    code: int | None
    reason: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate as it stands (contract, Commands: `gates --json`). Times are aware, in UTC.

    `probe_at`: when one lead may try it. `calls_per_s`: the pace in force, of the buyer's gate alone; None: no limit
    has been met. `takings`: what the scope has brought on the buyer's day.
    """

    scope: str
    closed: bool
    code: int | None = None
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    turned_away: int = 0
    probe_at: datetime | None = None
    calls_per_s: float | None = None
    takings: Takings | None = None


Admission = Go | Wait | Closed


class Gates(Protocol):
    """Shared by all workers: caps, the account, and the pace at which the buyer is called."""

    def admit(self, ask: Ask) -> Admission:
        """Ask for a call. A lead that is turned away from a closed gate is counted."""
        ...

    def leave(self, lead_id: str) -> None:
        """Give up a lead's turn: it will not ask again."""
        ...

    def heard(self, go: Go, heard: Heard, *, code: int | None, reason: str, retry_after_s: float | None) -> None:
        """Report what a call brought. 1000, 1100 and a run of silence make all workers wait together."""
        ...

    def close(
        self, scope: str, *, code: int | None, reason: str, until: datetime | None, probe_s: float | None = None
    ) -> bool:
        """Close a gate; after `probe_s` one lead may try it. False: it was closed already."""
        ...

    def probed(self, scope: str, after: Callable[[int], float]) -> None:
        """Report that the lead which tried a closed gate was refused.

        `after` gives the seconds until another may try, by how many have tried before.
        """
        ...

    def is_doubtful(self, scope: str) -> bool:
        """Whether a cap that is met now may be yesterday's: nothing has been sold yet on the buyer's day."""
        ...

    def open(self, scope: str, why: str, *, by_probe: bool = False) -> bool:
        """Open a gate. False: it was not closed.

        `by_probe`: a lead has found out that the buyer buys again. That opens no gate which is not to be tried: an
        operator may have closed it meanwhile.
        """
        ...

    def reset(self) -> list[Gate]:
        """Open the caps whose day is over, and give each once, however many ask at the same time."""
        ...

    def all(self) -> Iterator[Gate]:
        """Give every gate that is closed, and the buyer's."""
        ...

"""The states of a lead and the moves between them. Each rule answers a crash: see ops/architecture.md, States.

Every move is one conditional UPDATE in the ledger; this table is what the ledger, the tests and the documents read.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a lead stands."""

    RECEIVED = "received"
    PINGING = "pinging"
    BID = "bid"
    POSTING = "posting"
    SOLD = "sold"
    REJECTED = "rejected"
    CAPPED = "capped"
    EXPIRED = "expired"
    BLOCKED = "blocked"
    UNKNOWN = "unknown"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        """Whether the lead has its outcome."""
        return self in FINAL


FINAL = frozenset({State.SOLD, State.REJECTED, State.CAPPED, State.EXPIRED, State.BLOCKED, State.UNKNOWN, State.FAILED})
_NO_SALE = frozenset({State.REJECTED, State.CAPPED, State.EXPIRED, State.BLOCKED, State.FAILED})

MOVES: dict[State, frozenset[State]] = {
    # A one-step call or a direct post is claimed from `received`: it needs no bid.
    State.RECEIVED: _NO_SALE | {State.PINGING, State.POSTING},
    # Back to `received`: a ping to be repeated. A ping that a crash cut short is claimed anew from `pinging`.
    State.PINGING: _NO_SALE | {State.PINGING, State.RECEIVED, State.BID},
    State.BID: _NO_SALE | {State.POSTING},
    # Back: an answer that proves no sale, to where the claim came from.
    State.POSTING: _NO_SALE | {State.SOLD, State.UNKNOWN, State.BID, State.RECEIVED},
    **{state: frozenset() for state in FINAL},
}


def may_move(source: State, target: State) -> bool:
    """Whether the ledger may ever make this move."""
    return target in MOVES[source]

"""What the loop needs of a broker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from workers.intake.message import Message

LARGEST_BATCH: Final = 50


class Source(Protocol):
    """An inbox of one broker (`workers.topology`). Used by one thread; all but `drop` may raise `BROKER_AWAY`.

    What was handed out and neither acknowledged nor buried comes again after `open`, marked as redelivered.
    """

    def open(self) -> None:
        """Connect, declare the queues and begin to consume. What an earlier connection handed out is forgotten."""
        ...

    def take(self, wait_s: float) -> list[Message]:
        """Give the messages that are there, at most `LARGEST_BATCH`; wait only for the first, and at most `wait_s`."""
        ...

    def ack(self, batch: Sequence[Message]) -> None:
        """Remove a batch, as `take` gave it, for good."""
        ...

    def bury(self, message: Message, reason: str) -> None:
        """Put a message to the dead letters, whole, with the reason; returns when the broker has it. `ack` follows."""
        ...

    def tick(self) -> None:
        """Show the broker that we live. Called at least once a second, also while the ledger is away."""
        ...

    def drop(self) -> None:
        """Forget a connection that broke. Never raises."""
        ...

    def close(self) -> None:
        """End cleanly: what was handed out and not acknowledged goes to another consumer at once."""
        ...

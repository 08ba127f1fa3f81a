"""Strands: real code that runs until its next effect, and then waits until the scheduler lets it go on.

A strand is a greenlet. What it calls of the outside (ledger, store, broker, buyer) is a model that stops the strand
before and after each effect, so that anything may happen in between: another strand, a crash, an absence.
"""

from __future__ import annotations

from collections.abc import Callable

import greenlet


class Clock:
    """The one time of a simulated world, in milliseconds."""

    def __init__(self) -> None:
        self.ms = 1_790_000_000_000

    def monotonic(self) -> float:
        """Give seconds, as `time.monotonic` does."""
        return self.ms / 1000


class Strand:
    """One thread of a simulated process. `wakes_at`: until when it sleeps, in the clock's milliseconds."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self.name = name
        self.at = "start"
        self.wakes_at = 0
        self._greenlet = greenlet.greenlet(lambda _: work())

    @property
    def done(self) -> bool:
        """Whether it came to its end."""
        return self._greenlet.dead

    def resume(self) -> None:
        """Let it go on to its next effect. What its code raises is raised here."""
        stopped = self._greenlet.switch(self)
        if not self.done:
            self.at, self.wakes_at = stopped

    def kill(self) -> None:
        """End it where it stands, as SIGKILL does: the models take no effect of a strand that is being killed."""
        if self._greenlet:
            self._greenlet.throw(greenlet.GreenletExit)


def effect(name: str, *, wakes_at: int = 0) -> None:
    """Stop the running strand here. Outside of strands, nothing stops."""
    running = greenlet.getcurrent()
    if running.parent is not None:
        running.parent.switch((name, wakes_at))

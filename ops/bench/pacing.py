"""An open loop: work begins by the clock, whether or not what began before it is done.

A closed loop waits for an answer before it asks again, so that a system that stands still for a second is asked once in
that second, and is slow once. Here each duration counts from the moment for which the work was *scheduled*: what could
not even begin in time has waited, too (coordinated omission).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class OpenLoop:
    """Begins `work` at `rate` a second, and keeps how long each took from its scheduled time, in seconds.

    `clock` and `pause` are those of the process, but in tests.
    """

    rate: float
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep
    took_s: dict[int, float] = field(default_factory=dict)

    def run(self, number: int, work: Callable[[int], Future[Any]]) -> list[Future[Any]]:
        """Begin so many, each in its time or as soon after it as the one before lets it."""
        futures = []
        start = self.clock()
        for turn in range(number):
            due = start + turn / self.rate
            self.pause(max(0.0, due - self.clock()))
            future = work(turn)
            future.add_done_callback(lambda _, turn=turn, due=due: self._done(turn, due))  # type: ignore[misc]  # mypy cannot infer defaults of a lambda
            futures.append(future)
        return futures

    def _done(self, turn: int, due: float) -> None:
        self.took_s[turn] = self.clock() - due

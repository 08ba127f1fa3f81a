"""A part: one process that a supervisor keeps alive, and what is known of it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class State(StrEnum):
    """Where a part stands."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Part:
    """One process to keep alive.

    `env` is added to our own environment and may hold secrets; `argv`, which everyone on the machine reads, may not.
    A part is ready when it has printed a JSON line with the event `ready_event`, or when `ready_probe` (called in a
    thread, again and again; it raises nothing) gives True; with neither, as soon as it runs. `before_start` is called
    ahead of every start. Parts of a lower `stop_rank` are stopped earlier; after `grace_s` seconds a part that still
    runs is killed. A part ends by SIGTERM, or by `ask_to_end` (called in a thread, again and again until it has ended;
    it raises nothing).
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    ready_event: str | None = None
    ready_probe: Callable[[], bool] | None = None
    before_start: Callable[[], None] | None = None
    ask_to_end: Callable[[], None] | None = None
    pass_fds: tuple[int, ...] = ()
    stop_rank: int = 0
    grace_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before a part that died is started again, in seconds: doubled each time, up to `most_s`.

    A part that has lived `reset_after_s` begins at `first_s` again.
    """

    first_s: float = 0.2
    most_s: float = 5.0
    reset_after_s: float = 10.0

    def deaths_in_a_row(self, before: int, lived_s: float) -> int:
        """Count one more death, or the first one after a life that was long enough."""
        return 1 if lived_s >= self.reset_after_s else before + 1

    def delay_s(self, deaths: int) -> float:
        """Give the wait after so many deaths in a row (from 1)."""
        return min(self.first_s * 2.0 ** min(deaths - 1, 32), self.most_s)


class PartFailed(Exception):
    """A part died again and again before it was ever ready. `last_lines` is what it said at the end."""

    def __init__(self, name: str, last_lines: Iterable[str]) -> None:
        """Take the part's name and its last lines, oldest first."""
        super().__init__(f"{name} does not start")
        self.name = name
        self.last_lines = tuple(last_lines)


def ended(code: int) -> str:
    """Tell how a process ended: ``0``, ``1``, or the signal's name, as ``SIGKILL``."""
    if code >= 0:
        return str(code)
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"

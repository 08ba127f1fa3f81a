"""CPU affinity: the threads of a worker share one CPU, since only one of them runs Python at a time.

Left to themselves they are spread over all, and each hand-over of the interpreter wakes one on another CPU: that costs
a fifth of a worker's time (0010-a-worker-keeps-to-one-cpu.md). Workers of one data folder take different CPUs, as far
as there are enough. One whose CPU others want, too, moves to where there is more room.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from workers.folder import make_private, take_lock

log = structlog.stdlib.get_logger()

FOLDER: Final = "cpus"
LOOK_S: Final = 1.0
# Parts of a CPU: how much more of it there must be elsewhere, and how much a worker must use to look out for it.
WORTH_IT: Final = 0.2
AT_WORK: Final = 0.2

_TICKS_A_S: Final = os.sysconf("SC_CLK_TCK")
_THREADS: Final = Path("/proc/self/task")
_TIMES: Final = Path("/proc/stat")


def choose(here: int, own: float, busy: Mapping[int, float]) -> int:
    """Give the CPU on which a process has most room.

    Args:
        here: the CPU that it keeps to.
        own: the part of a CPU that it uses.
        busy: the part of each CPU that is used, by it and by others.
    """
    there = min(busy, key=lambda cpu: (busy[cpu], cpu))
    others_here = busy[here] - own
    moves = there != here and own >= AT_WORK and others_here - busy[there] >= WORTH_IT
    return there if moves else here


def busy_s() -> dict[int, float]:
    """Read for how many seconds each CPU of the machine has been busy since its start.

    Raises:
        OSError: the kernel does not tell.
    """
    found = {}
    for line in _TIMES.read_text(encoding="ascii").splitlines():
        name, *ticks = line.split()
        if name.startswith("cpu") and name != "cpu":
            # Not what a host has taken for other guests: on a CPU that stands idle it takes nothing.
            user, nice, system, _idle, _waiting, *interrupts = map(int, ticks[:7])
            found[int(name.removeprefix("cpu"))] = (user + nice + system + sum(interrupts)) / _TICKS_A_S
    return found


class _Look(NamedTuple):
    """What was used up to a moment, in seconds: by this process, and of each CPU."""

    at_s: float
    own_s: float
    busy_s: Mapping[int, float]


class Pin:
    """The one CPU that this process is pinned to. Used by one thread.

    `folder`: where processes that know of each other lock what they have taken. `cpus`: those that there are. `cpu`:
    the one that is taken; None where this process may not be bound. `chance`: a number from 0 up to 1.
    """

    def __init__(self, folder: Path, cpus: Sequence[int], *, chance: Callable[[], float] = random.random) -> None:
        """Take a CPU that nobody has; where each is taken, one that fewest have."""
        self._folder = folder
        self._cpus = cpus
        self._chance = chance
        self._lock: int | None = None
        self._sharers = 0  # of those that it knows, how many had the CPU before it
        self._seen: _Look | None = None
        # In no order: in a container, one does not know of the others.
        self.cpu: int | None = self._take(random.sample(cpus, len(cpus)))

    def keep(self) -> None:
        """Bind all threads to it, as far as that is allowed. A thread that is begun later has its beginner's."""
        if self.cpu is None:
            return
        try:
            bind([self.cpu])
        except OSError:  # a container's rules, or another set of CPUs than there was
            self.leave()

    def look(self) -> None:
        """Move, if there is more room elsewhere; called once in a while, it judges by the time since the last call."""
        if self.cpu is None:
            return
        try:
            now = _Look(time.monotonic(), time.process_time(), busy_s())
        except OSError:
            return
        seen, self._seen = self._seen, now
        if seen is None or now.at_s <= seen.at_s:
            return
        past_s = now.at_s - seen.at_s
        known = [cpu for cpu in self._cpus if cpu in now.busy_s and cpu in seen.busy_s]
        if self.cpu not in known:
            return
        parts = {cpu: (now.busy_s[cpu] - seen.busy_s[cpu]) / past_s for cpu in known}
        there = choose(self.cpu, (now.own_s - seen.own_s) / past_s, parts)
        # Two that share one, and see the same, must not both leave it.
        if there != self.cpu and self._chance() < 0.5:
            self._move(there)

    def leave(self) -> None:
        """Run anywhere again, and give the lock back."""
        self._unlock()
        self.cpu = self._seen = None
        with suppress(OSError):
            bind(self._cpus)

    def _move(self, cpu: int) -> None:
        """Move, unless more of those that it knows are there than here: they will want it again in a moment."""
        taken = self._take([cpu], most=self._sharers)
        if taken is None:
            return
        self.cpu, self._seen = taken, None
        self.keep()
        if self.cpu is not None:
            log.info("worker.cpu", cpu=self.cpu)

    def _unlock(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def _take(self, cpus: Sequence[int], most: int | None = None) -> int | None:
        """Lock the first of these CPUs that as few share as can be. None: each has more than `most` already."""
        with suppress(OSError):  # without the folder, one does not know of the others
            make_private(self._folder)
            for sharers in count() if most is None else range(most + 1):
                for cpu in cpus:
                    lock = take_lock(self._folder / f"{cpu}.{sharers}")
                    if lock is not None:
                        self._unlock()
                        self._lock, self._sharers = lock, sharers
                        return cpu
            return None
        return cpus[0]


def bind(cpus: Sequence[int]) -> None:
    """Let every thread of this process run on these CPUs alone.

    Raises:
        OSError: it may not, or the kernel does not tell which threads there are.
    """
    os.sched_setaffinity(0, cpus)
    for thread in _THREADS.iterdir():
        with suppress(ProcessLookupError):  # it has just ended
            os.sched_setaffinity(int(thread.name), cpus)


def choices() -> list[int]:
    """Give the CPUs that this process may run on; none where its threads cannot be bound, or run all at once."""
    one_at_a_time = getattr(sys, "_is_gil_enabled", lambda: True)()
    return sorted(os.sched_getaffinity(0)) if one_at_a_time and hasattr(os, "sched_getaffinity") else []

"""CPU affinity: the threads of a worker share one CPU, since only one of them runs Python at a time.

Left to themselves they are spread over all, and each hand-over of the interpreter wakes one on another CPU: that costs
a quarter of a worker's time (0010-a-worker-keeps-to-one-cpu.md). Workers of one data folder take different CPUs, as far
as there are enough. One whose CPU others want, too, moves to where there is more room.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final

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
            user, nice, system, _idle, _waiting, *others = map(int, ticks[:8])  # others: interrupts, and other guests
            found[int(name.removeprefix("cpu"))] = (user + nice + system + sum(others)) / _TICKS_A_S
    return found


class Seat:
    """The one CPU that this process keeps to. Used by one thread.

    `folder`: where processes that know of each other lock what they have taken. `cpus`: those that there are.
    """

    def __init__(self, folder: Path, cpus: Sequence[int]) -> None:
        """Take a CPU that nobody has; where each is taken, one that fewest have."""
        self._folder = folder
        self._cpus = cpus
        self._lock: int | None = None
        self._seen: tuple[float, float, Mapping[int, float]] | None = None
        # In no order: in a container, one does not know of the others.
        self.cpu = self._take(random.sample(cpus, len(cpus)))

    def keep(self) -> None:
        """Bind all threads to it. One that is begun later has the CPU of the one that began it."""
        for thread in _THREADS.iterdir():
            with suppress(OSError):  # it has just ended, or the container's rules leave it no choice
                os.sched_setaffinity(int(thread.name), {self.cpu})

    def look(self) -> None:
        """Move, if there is more room elsewhere; called once in a while, it judges by the time since the last call."""
        try:
            busy = busy_s()
        except OSError:
            return
        seen, self._seen = self._seen, (time.monotonic(), time.process_time(), busy)
        if seen is None:
            return
        at, used, before = seen
        past = self._seen[0] - at
        parts = {cpu: (busy[cpu] - before[cpu]) / past for cpu in self._cpus if cpu in busy and cpu in before}
        if past <= 0 or self.cpu not in parts:
            return
        there = choose(self.cpu, (self._seen[1] - used) / past, parts)
        # Two that share one, and see the same, must not both leave it.
        if there != self.cpu and random.random() < 0.5:  # noqa: S311 - no secret
            self._move(there)

    def leave(self) -> None:
        """Give the lock back."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def _move(self, cpu: int) -> None:
        self.leave()
        self.cpu = self._take([cpu])
        self._seen = None
        self.keep()
        log.info("worker.cpu", cpu=self.cpu)

    def _take(self, cpus: Sequence[int]) -> int:
        with suppress(OSError):  # without the folder, one does not know of the others
            make_private(self._folder)
            for sharers in count():
                for cpu in cpus:
                    self._lock = take_lock(self._folder / f"{cpu}.{sharers}")
                    if self._lock is not None:
                        return cpu
        return cpus[0]


def choices() -> list[int]:
    """Give the CPUs that this process may run on; none where its threads cannot be bound, or run all at once."""
    one_at_a_time = getattr(sys, "_is_gil_enabled", lambda: True)()
    return sorted(os.sched_getaffinity(0)) if one_at_a_time and hasattr(os, "sched_getaffinity") else []

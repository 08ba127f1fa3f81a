"""Starts, watches, restarts and stops the processes of one machine.

A part that dies is started again after a growing delay. A stop goes by rank: the parts of the lowest rank are asked
first, and the next rank hears of it only when they are gone. Whatever happens to the supervisor itself, its parts do
not outlive it (`workers.leash`).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

from workers.full_disk import in_words
from workers.leash import Leash
from workers.part import Backoff, Part, PartFailed, State, ended

LAST_LINES = 20
_CHUNK = 65_536
_LONGEST_LINE = 1_048_576
# A part's lines wait so long for company: to wake for each costs as much as a seventh of a lead's own work.
_LINGER_S = 0.02
_LEFT_IN_THE_PIPE = 1  # bytes from which on asyncio leaves what comes where it is, until what it has is taken
_LEASH_EVERY_S = 1.0
_ASK_AGAIN_S = 0.05

Sink = Callable[[Part, list[bytes]], None]
"""Takes some whole lines of a part's, each without its line feed."""


class Log(Protocol):
    """What of a structlog logger is used here."""

    def info(self, event: str, **facts: object) -> object:
        """Write a line."""
        ...

    def warning(self, event: str, **facts: object) -> object:
        """Write a line that someone should look at."""
        ...


class Kept:
    """A part as it runs: for a screen to read, and for the supervisor alone to change."""

    def __init__(self, part: Part) -> None:
        """Begin with nothing started."""
        self.part = part
        self.state = State.WAITING
        self.starts = 0
        self.process: asyncio.subprocess.Process | None = None
        self.ready = asyncio.Event()
        self.ever_ready = False
        self.asking: asyncio.Task[None] | None = None
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""
        return self.process.pid if self.process is not None and self.process.returncode is None else None

    def mark(self, state: State) -> None:
        """Move to a state and wake those who wait for readiness."""
        self.state = state
        if state is State.READY:
            self.ever_ready = True
            self.ready.set()
        else:
            self.ready.clear()


class Supervisor:
    """Keeps parts alive until it is told to stop. Use it inside a running event loop, and `stop` it in the end."""

    def __init__(self, log: Log, sink: Sink, *, backoff: Backoff | None = None, most_failed_starts: int = 5) -> None:
        """Take where to log (``part.started``, ``part.died``, ``part.stopped``) and where the parts' own lines go.

        A part that was never ready and died `most_failed_starts` times in a row is not started again: it has a fault
        that another start does not mend, and `until` and `ready` tell it.
        """
        self.parts: dict[str, Kept] = {}
        self.killed: list[str] = []
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._log = log
        self._sink = sink
        self._backoff = backoff or Backoff()
        self._most_failed_starts = most_failed_starts
        self._leash = Leash()
        self._leash_keeper: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()

    def start(self, *parts: Part) -> None:
        """Start parts and keep them alive. Returns at once: see `ready`.

        Raises:
            ValueError: a part of that name is here already.
        """
        self._leash_keeper = self._leash_keeper or asyncio.create_task(self._keep_leash(), name="leash")
        for part in parts:
            if part.name in self.parts:
                raise ValueError(f"there is a part {part.name} already")
            kept = self.parts[part.name] = Kept(part)
            self._keepers[part.name] = asyncio.create_task(self._keep(kept), name=part.name)

    async def ready(self, *names: str) -> None:
        """Wait until the named parts, or all, are ready.

        Raises:
            PartFailed: a part does not start.
        """
        chosen = [self.parts[name] for name in names or self.parts]

        async def all_ready() -> None:
            # Again where one has died meanwhile: ready means all of them at the same time.
            while waited_for := [kept for kept in chosen if not kept.ready.is_set()]:
                await waited_for[0].ready.wait()

        await self.until(all_ready())

    async def until(self, what: Awaitable[object]) -> None:
        """Wait for something, and watch the parts meanwhile; returns early where a stop is under way.

        Raises:
            PartFailed: a part does not start.
        """
        waiting = asyncio.ensure_future(what)
        try:
            await asyncio.wait({waiting, *self._keepers.values()}, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                await waiting
                return
        finally:
            waiting.cancel()
        for name, keeper in self._keepers.items():
            if keeper.done() and not self._stopping.is_set():
                await keeper  # a fault of our own surfaces here
                raise PartFailed(name, self.parts[name].last_lines)

    def hurry(self) -> None:
        """End every grace now: a `stop` under way kills what still runs."""
        self._hurry.set()

    async def stop(self) -> None:
        """Stop all parts in the order of their ranks, and wait until they are gone. Safe to call twice.

        Afterwards `killed` names the parts that did not end within their grace.
        """
        self._stopping.set()
        ranked = sorted(self.parts.values(), key=lambda kept: kept.part.stop_rank)
        for _, rank in itertools.groupby(ranked, key=lambda kept: kept.part.stop_rank):
            await asyncio.gather(*(self._stop(kept) for kept in rank))
        if self._leash_keeper is not None:
            await self._leash_keeper
        self._leash.release()

    async def _keep_leash(self) -> None:
        """Put the guard back where someone has killed it."""
        while not await _comes(self._stopping, _LEASH_EVERY_S):
            _ = self._leash.group

    async def _keep(self, kept: Kept) -> None:
        deaths = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            died = await self._run_once(kept)
            if self._stopping.is_set():
                break
            lived_s = time.monotonic() - began
            deaths = self._backoff.deaths_in_a_row(deaths, lived_s)
            gives_up = not kept.ever_ready and deaths >= self._most_failed_starts
            again_in_s = None if gives_up else self._backoff.delay_s(deaths)
            kept.mark(State.STOPPED if gives_up else State.WAITING)
            self._log.warning(
                "part.died", part=kept.part.name, exit=died, lived_s=round(lived_s, 3), again_in_s=again_in_s
            )
            if again_in_s is None:
                return
            await _comes(self._stopping, again_in_s)
        kept.mark(State.STOPPED)

    async def _run_once(self, kept: Kept) -> str:
        """Start a part, pass its lines on until it ends, and tell how it ended."""
        part = kept.part
        try:
            if part.before_start is not None:
                part.before_start()
            process = await self._spawn(part)
        except (OSError, subprocess.SubprocessError) as fault:
            kept.last_lines.append(str(fault))
            return f"not started: {in_words(fault)}"
        kept.process = process
        kept.starts += 1
        kept.mark(State.STARTING)
        self._log.info("part.started", part=part.name, pid=process.pid, start=kept.starts)
        if self._stopping.is_set():
            # The stop came while this process was being born, and found nobody to ask.
            kept.asking = asyncio.create_task(_ask_to_end(part, process))
        reading = asyncio.create_task(self._pass_on(kept, process))
        probing = asyncio.create_task(self._probe(kept))
        code = await process.wait()
        probing.cancel()
        with contextlib.suppress(TimeoutError):
            # A child of the part's own may hold the pipe open for longer.
            await asyncio.wait_for(reading, timeout=1)
        return ended(code)

    async def _spawn(self, part: Part) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *part.argv,
            env={**os.environ, **part.env},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=part.pass_fds,
            process_group=self._leash.group,
            limit=_LEFT_IN_THE_PIPE,
        )

    async def _probe(self, kept: Kept) -> None:
        probe = kept.part.ready_probe
        if probe is None and kept.part.ready_event is not None:
            return
        while probe is not None and not await asyncio.to_thread(probe):
            if await _comes(self._stopping, 0.05):
                return
        if kept.state is State.STARTING:
            kept.mark(State.READY)

    async def _pass_on(self, kept: Kept, process: asyncio.subprocess.Process) -> None:
        rest = b""
        while process.stdout is not None and (chunk := await process.stdout.read(_CHUNK)):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _LONGEST_LINE:
                lines, rest = [*lines, rest], b""
            self._take(kept, lines)
            if kept.state is State.READY:
                await asyncio.sleep(_LINGER_S)
        self._take(kept, [rest] if rest else [])

    def _take(self, kept: Kept, lines: list[bytes]) -> None:
        kept.last_lines.extend(line.decode(errors="replace") for line in lines[-LAST_LINES:])
        if kept.state is State.STARTING and any(_is_event(line, kept.part.ready_event) for line in lines):
            kept.mark(State.READY)
        if lines:
            self._sink(kept.part, lines)

    async def _stop(self, kept: Kept) -> None:
        keeper, process, pid = self._keepers[kept.part.name], kept.process, kept.pid
        if process is not None and pid is not None:
            kept.mark(State.STOPPING)
            kept.asking = asyncio.create_task(_ask_to_end(kept.part, process))
        if not await self._ends(keeper, kept.part.grace_s) and kept.process is not None:
            self.killed.append(kept.part.name)
            _signal(kept.process, signal.SIGKILL)
        await asyncio.wait({keeper} if kept.asking is None else {keeper, kept.asking})
        if process is not None and pid is not None:
            self._log.info("part.stopped", part=kept.part.name, pid=pid, exit=ended(process.returncode or 0))

    async def _ends(self, keeper: asyncio.Task[None], grace_s: float) -> bool:
        hurrying = asyncio.ensure_future(self._hurry.wait())
        await asyncio.wait({keeper, hurrying}, timeout=grace_s, return_when=asyncio.FIRST_COMPLETED)
        hurrying.cancel()
        return keeper.done()


async def _comes(event: asyncio.Event, within_s: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), within_s)
    except TimeoutError:
        return False
    return True


async def _ask_to_end(part: Part, process: asyncio.subprocess.Process) -> None:
    if part.ask_to_end is None:
        _signal(process, signal.SIGTERM)
        return
    while process.returncode is None:  # it may not have begun to listen
        await asyncio.to_thread(part.ask_to_end)
        await asyncio.sleep(_ASK_AGAIN_S)


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


def _is_event(line: bytes, event: str | None) -> bool:
    if event is None or event.encode() not in line:
        return False
    try:
        told = json.loads(line)
    except ValueError:
        return False
    return isinstance(told, dict) and told.get("event") == event

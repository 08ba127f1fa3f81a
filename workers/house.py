"""One run of ``pingpost up``: everything on this machine, from the servers it needs to a clean stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from tasks.ledger import migrate
from workers import folder
from workers.embedded import Embedded, Flush
from workers.lineup import Choice, lineup, server
from workers.part import Part
from workers.places import LOCK_FILE, Places, forget, is_store, resolve, tell, without_password
from workers.settings import PREFIX, Settings
from workers.supervisor import Log, Sink, Supervisor
from workers.targets import targets, tell_prometheus

Lineup = Callable[[Settings, Places, Choice], tuple[Part, ...]]


class AlreadyUp(Exception):
    """Another ``pingpost up`` runs on this data folder."""


class HouseError(Exception):
    """A start that cannot go on, in one line."""


class House:
    """Brings everything up, keeps it up, takes it down. One use; on `run` in an event loop of its own."""

    def __init__(self, settings: Settings, choice: Choice, log: Log, sink: Sink, *, parts: Lineup = lineup) -> None:
        """Take what to run and where its lines go; `parts` gives the processes beside the embedded servers."""
        self.data = folder.make_private(settings.data)
        self.choice = choice
        self.places: Places | None = None
        self.ready = False
        self.supervisor: Supervisor | None = None
        self._settings = settings.model_copy(update={"data": self.data})
        self.metrics = targets(self._settings, choice)
        self._log = log
        self._sink = sink
        self._parts = parts
        self._servers: list[Embedded] = []
        self._life: asyncio.Task[None] | None = None

    async def run(self) -> bool:
        """Live until SIGTERM, SIGINT or SIGHUP (a second one kills what still runs), or until `end`.

        Returns:
            Whether every part ended by itself.

        Raises:
            AlreadyUp: see there.
            EmbeddedError: no server of our own can be run.
            HouseError: the ledger cannot be reached.
            PartFailed: a part does not start.
        """
        async with _alone(self.data):
            self.supervisor = supervisor = Supervisor(self._log, self._sink)
            self._life = asyncio.create_task(self._live(supervisor))
            _on_signals(self.end)
            try:
                await self._life
            except asyncio.CancelledError:
                self._log.info("up.stopping")
            finally:
                await self._take_down(supervisor)
            return not supervisor.killed

    def end(self) -> None:
        """Begin to stop; the second time, stop waiting for parts."""
        if self._life is None or self.supervisor is None:
            return
        if self._life.done() or self._life.cancelling():
            self.supervisor.hurry()
        else:
            self._life.cancel()

    async def _live(self, supervisor: Supervisor) -> None:
        began = time.monotonic()
        places = await self._find_places(supervisor)
        await asyncio.to_thread(_migrate, places.ledger_url)
        self.places = places
        tell(self.data, places)
        tell_prometheus(self.data, self.metrics)
        supervisor.start(*self._parts(self._settings, places, self.choice))
        await supervisor.ready()
        self.ready = True
        self._log.info("up.ready", took_s=round(time.monotonic() - began, 3), **self.facts())
        await supervisor.until(asyncio.Event().wait())

    def facts(self) -> dict[str, str]:
        """Tell where everything is, without a password: for the screen and the log."""
        if self.places is None:
            return {}
        told = {
            "broker": without_password(self.places.broker_url),
            "state": without_password(self.places.state_url),
            "ledger": without_password(self.places.ledger_url),
            "data": str(self.data),
        }
        if self.choice.flower_url is not None:
            told["flower"] = self.choice.flower_url
        if self.metrics:
            told["metrics"] = ", ".join(f"{part} {place}" for part, place in self.metrics.items())
        return told

    async def _find_places(self, supervisor: Supervisor) -> Places:
        settings = self._settings
        if settings.broker_url is None:
            url = await self._serve(supervisor, "broker", Flush.ALWAYS)
            settings = settings.model_copy(update={"broker_url": url})
        elif settings.state_url is None and not is_store(settings.broker_url):
            url = await self._serve(supervisor, "state", Flush.EVERY_SECOND)
            settings = settings.model_copy(update={"state_url": url})
        return resolve(settings)

    async def _serve(self, supervisor: Supervisor, name: str, flush: Flush) -> str:
        embedded = await asyncio.to_thread(lambda: Embedded(self.data / name, flush=flush))
        self._servers.append(embedded)
        await asyncio.to_thread(embedded.claim)
        supervisor.start(server(name, embedded))
        await supervisor.ready(name)
        return embedded.url

    async def _take_down(self, supervisor: Supervisor) -> None:
        # Nobody shall find a broker that is about to go.
        forget(self.data)
        await supervisor.stop()
        for embedded in self._servers:
            embedded.release()
        self._log.info("up.stopped", killed=supervisor.killed)


def _migrate(url: str) -> None:
    try:
        migrate(url)
    except SQLAlchemyError as fault:
        why = str(getattr(fault, "orig", None) or fault.__class__.__name__).strip().partition("\n")[0]
        raise HouseError(f"{PREFIX}LEDGER_URL: {without_password(url)} cannot be used: {why}") from None


@contextlib.asynccontextmanager
async def _alone(data: Path, wait_s: float = 0.5) -> AsyncIterator[None]:
    deadline = time.monotonic() + wait_s
    # A command that looks whether an up runs holds the lock for a moment: one refusal is not another up.
    while (lock := folder.take_lock(data / LOCK_FILE)) is None:
        if time.monotonic() > deadline:
            raise AlreadyUp(f"another `pingpost up` runs on {data}")
        await asyncio.sleep(0.05)
    try:
        yield
    finally:
        os.close(lock)


def _on_signals(react: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    # A shell without job control starts its background jobs with SIGINT ignored: they can still be asked to stop by it.
    numbers = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
        numbers.append(signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, react)

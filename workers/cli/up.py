"""``pingpost up``: everything on this machine."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import NoReturn

import click
from click.core import ParameterSource
from rich.console import Console, RenderableType
from rich.live import Live

from ops.flower import environment as flower
from workers import settings as configuration
from workers.embedded import EmbeddedError
from workers.folder import make_private
from workers.house import AlreadyUp, House, HouseError
from workers.lineup import Choice
from workers.logging import Redaction, secrets_of
from workers.output import Lines, LogFiles
from workers.part import Part, PartFailed
from workers.ports import LOOPBACK, is_free, pick_port
from workers.screen import screen
from workers.services import Wiring
from workers.settings import PREFIX, Settings, SettingsError
from workers.targets import check_ports
from workers.watching import Troubles, Watch

FLOWER_PORT = 5555
FAILED, BAD_SETTINGS, ALREADY_UP = 1, 2, 3

_EPILOG = """\b
Exit codes:
  0  stopped cleanly (SIGTERM, Ctrl-C)
  1  a part does not start, or had to be killed at the end; the ledger or the embedded broker cannot be used
  2  bad settings or arguments; the line names the variable
  3  another `pingpost up` runs on the same PINGPOST_DATA
"""


@click.command("up", epilog=_EPILOG)
@click.option("--plain", is_flag=True, help="JSON lines instead of a screen: for services. Off a terminal, always.")
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Workers for pings.")
@click.option(
    "--posts",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Workers for posts alone; 0: those for pings take posts too.",
)
@click.option("--concurrency", type=click.IntRange(1, 512), help="Threads of each worker.")
@click.option("--no-flower", is_flag=True, help="Run no Flower.")
@click.option(
    "--flower-port",
    type=click.IntRange(0, 65535),
    default=FLOWER_PORT,
    show_default=True,
    help="Flower's port on loopback; 0 takes a free one. Where the default is taken, a free one is taken too.",
)
@click.pass_context
def command(  # an option each
    context: click.Context,
    *,
    plain: bool,
    workers: int,
    posts: int,
    concurrency: int | None,
    no_flower: bool,
    flower_port: int,
) -> None:
    """Run everything on this machine: broker (where none is set), intake, workers, beat and Flower.

    A part that dies is started again. SIGTERM or Ctrl-C stops everything cleanly: calls that are under way are
    finished. The parts never outlive this command. Other commands find it by PINGPOST_DATA.
    """
    try:
        settings = configuration.load()
        _check(settings)
        asked = context.get_parameter_source("flower_port") is not ParameterSource.DEFAULT
        port = None if no_flower else _flower_port(flower_port, asked=asked)
        if port is not None:
            flower.prepare(dict(os.environ))  # in a copy: refused here, not part after part
        choice = Choice(workers, posts, concurrency, port)
        check_ports(settings, choice)
        clean = _run(settings, choice, plain=plain or not sys.stdout.isatty())
    except SettingsError as wrong:
        _refuse(str(wrong), BAD_SETTINGS)
    except AlreadyUp as other:
        _refuse(str(other), ALREADY_UP)
    except PartFailed as failed:
        _refuse("\n  ".join((f"{failed}; it said last:", *failed.last_lines)), FAILED)
    except (EmbeddedError, HouseError, OSError) as fault:
        _refuse(str(fault), FAILED)
    context.exit(0 if clean else FAILED)


def _refuse(why: str, code: int) -> NoReturn:
    click.echo(f"pingpost up: {why}", err=True)
    sys.exit(code)


def _check(settings: Settings) -> None:
    """Refuse here, in one line, what would otherwise kill each worker at its start."""
    settings.require_credentials()
    wiring = Wiring(settings)
    wiring.require_endpoints()
    _ = wiring.ziplist, wiring.buyer


def _flower_port(port: int, *, asked: bool) -> int:
    if port == 0 or (not asked and not is_free(port)):
        return pick_port()
    if not is_free(port):
        raise SettingsError(f"--flower-port: {port} is taken on {LOOPBACK}; 0 picks a free one")
    return port


def _run(settings: Settings, choice: Choice, *, plain: bool) -> bool:
    if plain:
        output = Lines(sys.stdout.buffer, Redaction(frozenset(), secrets_of(settings)))
        house = House(settings, choice, output.log, output.take)
        output.on_lost = house.end
        return asyncio.run(house.run())
    logs = make_private(settings.data) / "logs"
    with LogFiles(logs, Redaction(frozenset(), secrets_of(settings))) as files:
        watched = _Watched(settings, files, logs)
        house = watched.house = House(settings, choice, files.log, watched.take)
        try:
            with Live(get_renderable=watched.screen, console=Console(), refresh_per_second=2):
                return asyncio.run(house.run())
        finally:
            watched.end()


class _Watched:
    """A house, and what is seen of it."""

    house: House

    def __init__(self, settings: Settings, files: LogFiles, logs: Path) -> None:
        self._settings, self._files, self._logs = settings, files, logs
        self._troubles = Troubles()
        self._watch: Watch | None = None

    def take(self, part: Part, lines: list[bytes]) -> None:
        """Pass a part's lines on to its file, and remember what is wrong."""
        self._files.take(part, lines)
        self._troubles.take(part.name, lines)

    def screen(self) -> RenderableType:
        """Give the screen as it is now; the first look is taken as soon as everything is ready."""
        if self.house.ready and self._watch is None and self.house.places is not None:
            known = {name.removeprefix(PREFIX).lower(): url for name, url in self.house.places.environment().items()}
            self._watch = Watch(self._settings.model_copy(update=known))
            self._watch.start()
        kept = self.house.supervisor.parts.values() if self.house.supervisor else ()
        parts = [(one.part.name, one.state, one.pid, one.starts) for one in kept]
        places = {**self.house.facts(), "logs": str(self._logs)} if self.house.ready else {}
        return screen(parts, places, self._watch.look if self._watch else None, self._troubles)

    def end(self) -> None:
        """Look no more."""
        if self._watch is not None:
            self._watch.end()

"""``pingpost up``: everything on this machine."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NoReturn, Self

import click
import structlog
from click.core import ParameterSource
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from workers import settings as configuration
from workers.embedded import EmbeddedError
from workers.folder import make_private
from workers.house import AlreadyUp, House, HouseError
from workers.lineup import Choice
from workers.part import Part, PartFailed
from workers.ports import LOOPBACK, is_free, pick_port
from workers.settings import Settings, SettingsError
from workers.supervisor import Log

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
@click.option("--posts", type=click.IntRange(min=1), default=1, show_default=True, help="Workers for posts alone.")
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
        settings.require_credentials()
        asked = context.get_parameter_source("flower_port") is not ParameterSource.DEFAULT
        port = None if no_flower else _flower_port(flower_port, asked=asked)
        choice = Choice(workers, posts, concurrency, port)
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


def _flower_port(port: int, *, asked: bool) -> int:
    if port == 0 or (not asked and not is_free(port)):
        return pick_port()
    if not is_free(port):
        raise SettingsError(f"--flower-port: {port} is taken on {LOOPBACK}; 0 picks a free one")
    return port


def _run(settings: Settings, choice: Choice, *, plain: bool) -> bool:
    if plain:
        output = Lines(sys.stdout.buffer)
        house = House(settings, choice, output.log, output.take)
        output.on_lost = house.end
        return asyncio.run(house.run())
    logs = make_private(settings.data) / "logs"
    with LogFiles(logs) as files:
        house = House(settings, choice, files.log, files.take)
        with Live(get_renderable=lambda: _screen(house, logs), console=Console(), refresh_per_second=4):
            return asyncio.run(house.run())


class Lines:
    """One stream of JSON lines: ours, and what the parts say. A line that is not JSON is wrapped in one that is."""

    def __init__(self, stream: BinaryIO) -> None:
        """Write to a binary stream, which is flushed after every batch."""
        self._stream = stream
        self.on_lost: Callable[[], None] = lambda: None
        self.log = _logger(self)

    def take(self, part: Part, lines: list[bytes]) -> None:
        """Pass a part's lines on."""
        batch: list[bytes] = []
        for line in lines:
            if line.startswith(b"{"):
                batch.append(line)
            elif line.strip():
                self._put(batch)
                batch = []
                self.log.info("part.output", part=part.name, line=line.decode(errors="replace")[:2000])
        self._put(batch)

    def write(self, text: str) -> None:
        """Write text as it is: the logger's side."""
        self._put([text.encode().rstrip(b"\n")])

    def flush(self) -> None:
        """Do nothing: every write is flushed."""

    def _put(self, lines: list[bytes]) -> None:
        if not lines:
            return
        try:
            self._stream.write(b"\n".join(lines) + b"\n")
            self._stream.flush()
        except BrokenPipeError:
            # Nobody reads any more. Calls are not sold unseen: stop, cleanly, and write into the void until then.
            void = os.open(os.devnull, os.O_WRONLY)
            os.dup2(void, self._stream.fileno())
            os.close(void)
            self.on_lost()


class LogFiles:
    """One file a part in a folder, appended to; ours is ``up.log``."""

    def __init__(self, folder: Path) -> None:
        """Take the folder; it is made where it is missing."""
        self._folder = make_private(folder)
        self._open: dict[str, BinaryIO] = {}
        self.log = _logger(Lines(self._file("up")))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._open.values():
            file.close()

    def take(self, part: Part, lines: list[bytes]) -> None:
        """Append a part's lines, as they are."""
        file = self._file(part.name)
        file.write(b"\n".join(lines) + b"\n")
        file.flush()

    def _file(self, name: str) -> BinaryIO:
        if name not in self._open:
            self._open[name] = (self._folder / f"{name}.log").open("ab")
        return self._open[name]


def _logger(stream: Lines) -> Log:
    logger: Log = structlog.wrap_logger(
        structlog.WriteLogger(stream),  # type: ignore[arg-type]  # write and flush are all that it uses
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
            structlog.processors.JSONRenderer(),
        ],
    )
    return logger


_COLOURS = {"ready": "green", "starting": "yellow", "waiting": "red", "stopping": "yellow", "stopped": "dim"}


def _screen(house: House, logs: Path) -> Table:
    screen = Table.grid(padding=(0, 3))
    parts = dict(house.supervisor.parts) if house.supervisor else {}
    for name, kept in parts.items():
        again = f"started {kept.starts} times" if kept.starts > 1 else ""
        screen.add_row(f"[bold]{name}", f"[{_COLOURS[kept.state]}]{kept.state}", str(kept.pid or ""), again)
    if house.ready:
        screen.add_row()
        for name, place in {**house.facts(), "logs": str(logs)}.items():
            screen.add_row(f"[bold]{name}", Text(place))
    return screen

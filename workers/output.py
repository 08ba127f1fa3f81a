"""Where an up's lines go: one stream of JSON, or a file for each part."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Self

import structlog
from structlog.typing import Processor

from tasks.events import declaration
from workers.folder import make_private
from workers.full_disk import lines_may_be_lost
from workers.logging import Declared, without_nothing
from workers.part import Part
from workers.supervisor import Log


class Lines:
    """One stream of JSON lines: ours, and what the parts say. A line that is not JSON is wrapped in one that is."""

    def __init__(self, stream: BinaryIO, redaction: Processor) -> None:
        """Write to a binary stream, which is flushed after every batch."""
        self._stream = stream
        self.on_lost: Callable[[], None] = lambda: None
        self.log = _logger(self, redaction)

    def take(self, part: Part, lines: list[bytes]) -> None:
        """Pass a part's lines on."""
        batch: list[bytes] = []
        for line in lines:
            if line.startswith(b'{"') and line.endswith(b"}"):
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
            # A full disk costs lines: were it to end the reading of the parts' pipes, the parts would stand still.
            with lines_may_be_lost():
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

    def __init__(self, folder: Path, redaction: Processor) -> None:
        """Take the folder; it is made where it is missing."""
        self._folder = make_private(folder)
        self._open: dict[str, BinaryIO] = {}
        self.log = Lines(self._file("up"), redaction).log

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._open.values():
            file.close()

    def take(self, part: Part, lines: list[bytes]) -> None:
        """Append a part's lines, as they are."""
        file = self._file(part.name)
        with lines_may_be_lost():
            file.write(b"\n".join(lines) + b"\n")
            file.flush()

    def _file(self, name: str) -> BinaryIO:
        if name not in self._open:
            self._open[name] = (self._folder / f"{name}.log").open("ab")
        return self._open[name]


def _logger(stream: Lines, redaction: Processor) -> Log:
    logger: Log = structlog.wrap_logger(
        structlog.WriteLogger(stream),  # type: ignore[arg-type]  # write and flush are all that it uses
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
            without_nothing,
            redaction,
            Declared(declaration()),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    return logger

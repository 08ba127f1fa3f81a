"""Every call of a logger in the code, read without being run: its event is declared, and so is each of its fields."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.events import declaration

ROOT = Path(__file__).parents[2]
LEVELS = ("debug", "info", "warning", "error", "critical", "exception")
# Where the event's name is made: each of these has the same fields.
MADE = {
    ("tasks/absence.py", "self._away"): (".away",),
    ("tasks/absence.py", "self._back"): (".back",),
    ("workers/intake/loop.py", "self._events.ready"): ("intake.ready", "calls.ready"),
    ("workers/intake/loop.py", "self._events.buried"): ("lead.buried", "call.buried"),
}
# Where fields are handed on whole. What they are is seen when it is run (tests/declared.py).
HANDED_ON = {"buyer.call", "lead.outcome", "up.ready"}


@dataclass(frozen=True)
class LogCall:
    """One call: where it stands, its level, the events that it may write, and the fields that it names."""

    where: str
    level: str
    events: tuple[str, ...]
    fields: frozenset[str]
    open: bool


def _calls() -> Iterator[LogCall]:
    for path in sorted(p for package in ("workers", "tasks") for p in (ROOT / package).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_log(node.func):
                yield _read(name, node, node.func.attr)


def _is_log(function: ast.Attribute) -> bool:
    return function.attr in LEVELS and ast.unparse(function.value) in ("log", "self.log", "self._log")


def _read(path: str, node: ast.Call, level: str) -> LogCall:
    where = f"{path}:{node.lineno}"
    (event,) = node.args
    if isinstance(event, ast.Constant):
        events: tuple[str, ...] = (event.value,)
    else:
        made = MADE[path, ast.unparse(event)]
        events = tuple(name for name in declaration().events if name.endswith(made))
    names = [keyword.arg for keyword in node.keywords]
    return LogCall(where, level, events, frozenset(filter(None, names)), None in names)


CALLS = tuple(_calls())


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.where)
def test_what_is_logged_is_declared(call: LogCall):
    """Its event, its level, each field by its name; and no field is missing that stands on every line."""
    for name in call.events:
        event = declaration().events.get(name)
        assert event is not None, f"{name} is not in tasks/events.toml"
        assert call.level == event.level
        assert call.fields <= {*event.always, *event.known}
        assert call.open == (name in HANDED_ON)
        assert call.open or call.fields >= set(event.always)


def test_what_is_declared_is_logged():
    """No event, and no field of one, is left over from lines that nobody writes any more."""
    logged = {name: set[str]() for call in CALLS for name in call.events}
    for call in CALLS:
        for name in call.events:
            logged[name] |= call.fields
    assert logged.keys() == declaration().events.keys()
    for name, event in declaration().events.items():
        assert name in HANDED_ON or logged[name] == {*event.always, *event.known}, name


def test_every_logger_is_called_log():
    """Else the calls of it would not be seen here. Nobody writes by the standard library's, as libraries do."""
    for path in (p for package in ("workers", "tasks") for p in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign) and "get_logger()" in ast.unparse(node.value):
                assert ast.unparse(node.targets[0]) == "log", path
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "logging.getLogger":
                assert path.name == "worker.py", path

"""Every line of ours on the log, as `events.toml` declares it: its event, its level, its fields.

Code, tests and `ops/log-lines.md` read the same declaration. A line that does not fit is a fault of ours, and is told
by the names of what does not fit, never by a value.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.resources import files
from operator import eq
from typing import Any, Final

MARK: Final = "undeclared"

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z", re.ASCII)
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MONEY: Final = re.compile(r"\d{1,12}\.\d{2,6}", re.ASCII)

Check = Callable[[Any], bool]


def _written(form: re.Pattern[str]) -> Check:
    return lambda value: isinstance(value, str) and form.fullmatch(value) is not None


TYPES: Final[Mapping[str, Check]] = {
    "text": lambda value: isinstance(value, str),
    "texts": lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value),
    "integer": lambda value: type(value) is int,
    "number": lambda value: type(value) in (int, float),
    "truth": lambda value: isinstance(value, bool),
    "money": _written(_MONEY),
    "time": _written(_TIME),
    "date": _written(_DATE),
}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of log lines: its type (of `TYPES`), its only values where it has few, and what it says."""

    name: str
    type: str
    means: str
    one_of: tuple[str, ...] = ()

    @property
    def fits(self) -> Check:
        """Give what tells whether a value may be the field's."""
        if not self.one_of:
            return TYPES[self.type]
        return lambda value: isinstance(value, str) and value in self.one_of


@dataclass(frozen=True, slots=True)
class Event:
    """An event: `always` and `known` (stands where it is known) name its fields, `notes` says more of some."""

    name: str
    group: str
    level: str
    means: str
    do: str
    always: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Declaration:
    """All lines. `base` are the fields of each, `mark` what is added to one that does not fit, `foreign` libraries'."""

    base: Mapping[str, Field]
    mark: Mapping[str, Field]
    foreign: Mapping[str, Field]
    fields: Mapping[str, Field]
    events: Mapping[str, Event]
    _checks: Mapping[str, Mapping[str, Check]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if wrong := sorted(_contradictions(self)):
            raise ValueError(f"events.toml: {'; '.join(wrong)}")
        # Made ready once: every line is held against it.
        each = {name: one.fits for name, one in {**self.base, **self.mark}.items()}
        checks = {
            event.name: each
            | {name: self.fields[name].fits for name in (*event.always, *event.known)}
            | {"level": partial(eq, event.level)}
            for event in self.events.values()
        }
        object.__setattr__(self, "_checks", checks)

    def faults(self, line: Mapping[str, Any]) -> list[str]:
        """Tell what of a line is not as it is declared, each by its name, never by its value."""
        name = line["event"]
        checks = self._checks.get(name) if isinstance(name, str) else None
        if checks is None:
            return ["event"]
        found = [name for name, value in line.items() if name not in checks or not checks[name](value)]
        return found + [name for name in self.events[name].always if name not in line]

    def foreign_faults(self, line: Mapping[str, Any]) -> list[str]:
        """Tell the same of a library's line."""
        allowed = {**self.base, **self.foreign}
        return [name for name, value in line.items() if name not in allowed or not allowed[name].fits(value)]


@cache
def declaration() -> Declaration:
    """Read the declaration.

    Raises:
        ValueError: it contradicts itself.
    """
    table = tomllib.loads((files("tasks") / "events.toml").read_text(encoding="utf-8"))
    base, mark, foreign, fields = (dict(_fields(table[part])) for part in ("base", "mark", "foreign", "fields"))
    events = {
        name: Event(name, **{**row, "always": tuple(row.get("always", ())), "known": tuple(row.get("known", ()))})
        for name, row in table["events"].items()
    }
    return Declaration(base, mark, foreign, fields, events)


def _fields(rows: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Field]]:
    for name, row in rows.items():
        yield name, Field(name, row["type"], row["means"], tuple(row.get("one_of", ())))


def _contradictions(declared: Declaration) -> Iterator[str]:
    every = {**declared.base, **declared.mark, **declared.foreign, **declared.fields}
    taken = {*declared.base, *declared.mark, *declared.foreign}
    yield from (f"{name}: taken" for name in declared.fields if name in taken)
    yield from (f"{name}: no such type" for name, one in every.items() if one.type not in TYPES)
    told: set[str] = set()
    for event in declared.events.values():
        names = (*event.always, *event.known)
        told.update(names)
        yield from (f"{event.name}: {name}: no such field" for name in names if name not in declared.fields)
        yield from (f"{event.name}: {name}: noted, and on no line" for name in event.notes if name not in names)
        if len(set(names)) != len(names):
            yield f"{event.name}: a field stands twice"
        if event.level not in declared.base["level"].one_of:
            yield f"{event.name}: no such level"
    yield from (f"{name}: on no line" for name in declared.fields if name not in told)

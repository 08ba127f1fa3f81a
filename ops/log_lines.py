"""``python -m ops.log_lines`` (`make docs`): writes `ops/log-lines.md` from `tasks/events.toml`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Final

from tasks.events import Declaration, Event, Field, declaration

PAGE: Final = Path(__file__).with_name("log-lines.md")
_BLANKS: Final = re.compile(" +")
_HEAD: Final = """\
# Log lines

One JSON object a line, on standard output. Made from `tasks/events.toml` by `make docs`: change it there. What to do
about the events that want somebody stands in the [runbook](runbook.md).

A field in *italics* stands where it is known, and is else absent; all others stand on every line of their event. Names
and types do not change; fields and events may be added. `money` is dollars, a decimal string; `time` is RFC 3339, UTC.

A line of ours that does not fit goes out all the same, whole, with `undeclared`; with `PINGPOST_LOG_UNDECLARED=raise`
it raises, for those who write the code. Libraries' lines (Celery, kombu) have a `logger`, and their text as `event`.
"""


def page(declared: Declaration) -> str:
    """Give the whole page."""
    sections = [_HEAD, "## On every line", _fields(declared.base.values())]
    sections += ["On a line that does not fit:", _fields(declared.mark.values())]
    sections += ["On a library's line, besides:", _fields(declared.foreign.values())]
    for group, events in groupby(declared.events.values(), key=lambda event: event.group):
        sections += [f"## {group}", table(("event", "level", "it means", "fields", "do"), map(_event, events))]
    sections += ["## Fields", _fields(declared.fields.values())]
    return "\n\n".join(section.strip("\n") for section in sections) + "\n"


def _event(event: Event) -> tuple[str, ...]:
    names = [f"`{name}`" for name in event.always] + [f"*`{name}`*" for name in event.known]
    notes = [f"`{name}`: {note}" for name, note in event.notes.items()]
    return f"`{event.name}`", event.level, "; ".join((event.means, *notes)), " ".join(names), event.do


def _fields(fields: Iterable[Field]) -> str:
    return table(("field", "type", "meaning"), map(_field, fields))


def _field(field: Field) -> tuple[str, ...]:
    values = f": {', '.join(f'`{value}`' for value in field.one_of)}" if field.one_of else ""
    return f"`{field.name}`", field.type, f"{field.means}{values}"


def table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Give a table in Markdown."""
    lines = [f"| {' | '.join(cells)} |" for cells in (heads, *rows)]
    lines.insert(1, f"|{'---|' * len(heads)}")
    return _BLANKS.sub(" ", "\n".join(lines))


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(declaration()), encoding="utf-8")


if __name__ == "__main__":
    main()

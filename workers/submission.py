"""Leads from a file: CSV or JSON Lines, row by row, each a lead or a row with its faults."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Literal, Self, TextIO

from tasks.core import jsonobject
from tasks.core.lead import Flow
from tasks.core.protocol import Protocol
from tasks.core.validation import Defaults, InvalidLead, read_lead
from workers.settings import Settings

Format = Literal["csv", "jsonl"]
Check = Callable[[Mapping[str, Any]], str]

REASON: Final = "reason"
LARGEST_ROW: Final = 64 * 1024
# Not UTF-8 is a fault of its row, not of the file: such bytes become half characters, which no field may have.
_TEXT: Final[dict[str, Any]] = {"newline": "", "errors": "surrogateescape"}
_ID_DIGITS: Final = 32
_UNKNOWN_SUBID: Final = "unknown"


class BadFile(Exception):
    """A file whose rows cannot be read. The text says why."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the lead to be sent, or None where `reason` names every fault. `raw` is the row as it stood."""

    number: int
    raw: list[str] | str = field(repr=False)
    lead: Mapping[str, Any] | None = field(default=None, repr=False)
    reason: str = ""


def checker(protocol: Protocol, settings: Settings) -> Check:
    """Give what names a lead's faults, or nothing: the intake's own rules, by these settings.

    Where no key is set (a producer's machine), what only the intake knows is left to it: its default sub source, and
    whether it runs in test mode.
    """
    elsewhere = not settings.key.get_secret_value()
    subid = settings.subid or (_UNKNOWN_SUBID if elsewhere else "")
    defaults = Defaults(Flow(settings.flow), settings.deadline_s, subid, settings.test_mode or elsewhere)

    def check(lead: Mapping[str, Any]) -> str:
        try:
            read_lead(lead, protocol, defaults)
        except InvalidLead as invalid:
            return str(invalid)
        return ""

    return check


def format_of(name: str, chosen: Format | None) -> Format:
    """Tell a file's format by its name; standard input (``-``) is JSON Lines unless `chosen` says otherwise.

    Raises:
        BadFile: the name does not tell.
    """
    if chosen:
        return chosen
    if name == "-" or name.lower().endswith((".jsonl", ".ndjson")):
        return "jsonl"
    if name.lower().endswith(".csv"):
        return "csv"
    raise BadFile(f"{name}: neither .csv nor .jsonl; say which with --format")


def read_jsonl(stream: BinaryIO, check: Check) -> Iterator[Row]:
    """Read JSON Lines; empty lines are passed over."""
    for number, line in enumerate(stream, 1):
        raw = line.rstrip(b"\r\n")
        if not raw.strip():
            continue
        text = raw.decode("utf-8", "surrogateescape")
        try:
            given = jsonobject.parse(raw, LARGEST_ROW)
        except jsonobject.NotAnObject as fault:
            yield Row(number, text, reason=str(fault))
            continue
        yield _row(number, text, given, check)


class CsvReader:
    """Reads CSV whose header names the fields. `header` is it as it stood."""

    def __init__(self, stream: BinaryIO) -> None:
        """Read the header.

        Raises:
            BadFile: there is none, or it names a field twice.
        """
        self._reader = csv.reader(io.TextIOWrapper(stream, encoding="utf-8-sig", **_TEXT))
        try:
            self.header = next(self._reader, [])
        except csv.Error as fault:
            raise BadFile(f"no CSV: {fault}") from None
        self._names = [name.strip() for name in self.header]
        if not any(self._names):
            raise BadFile("no header: the first line of a CSV names the fields")
        twice = sorted({name for name in self._names if self._names.count(name) > 1})
        if twice:
            raise BadFile(f"the header names a field twice: {', '.join(twice)}")

    def rows(self, check: Check) -> Iterator[Row]:
        """Read the rows; empty ones are passed over.

        Raises:
            BadFile: the rest cannot be told apart into cells.
        """
        try:
            for cells in self._reader:
                if any(cell.strip() for cell in cells):
                    yield self._read(cells, check)
        except csv.Error as fault:
            raise BadFile(f"line {self._reader.line_num}: {fault}") from None

    def _read(self, cells: list[str], check: Check) -> Row:
        number = self._reader.line_num
        if len(cells) > len(self._names):
            return Row(number, cells, reason="more cells than the header has names")
        given = {name: cell for name, cell in zip(self._names, cells, strict=False) if cell.strip()}
        return _row(number, cells, _typed(given), check)


def _row(number: int, raw: list[str] | str, given: Mapping[str, Any], check: Check) -> Row:
    given = {name: value for name, value in given.items() if name != REASON}  # a file of invalid rows, mended
    lead = given if "lead_id" in given else {"lead_id": derived_id(given), **given}
    reason = check(lead)
    return Row(number, raw, reason=reason) if reason else Row(number, raw, lead)


def _typed(cells: Mapping[str, str]) -> dict[str, Any]:
    """Make a number of the one field that must be one; everything else may be a string."""
    lead: dict[str, Any] = dict(cells)
    if "deadline_s" in lead:
        try:
            lead["deadline_s"] = Decimal(lead["deadline_s"].strip())
        except InvalidOperation:
            pass  # left as it is, so that the fields table names the fault
        else:
            if not lead["deadline_s"].is_finite():
                lead["deadline_s"] = cells["deadline_s"]
    return lead


def derived_id(lead: Mapping[str, Any]) -> str:
    """Make an id of a row's content: the same row has the same one, however often its file is sent."""
    canonical = json.dumps(lead, sort_keys=True, separators=(",", ":"), default=str)
    return f"row-{hashlib.sha256(canonical.encode('utf-8', 'surrogateescape')).hexdigest()[:_ID_DIGITS]}"


class InvalidRows:
    """Writes invalid rows beside the input, with their reasons; the file is touched only where there is one."""

    def __init__(self, path: Path, header: list[str] | None) -> None:
        """`header`: a CSV's, as it stood; None for JSON Lines."""
        self.path = path
        self.count = 0
        self._header = header
        self._file: TextIO | None = None

    def add(self, row: Row) -> None:
        """Write one row.

        Raises:
            OSError: the file cannot be written.
        """
        if self._file is None:
            self._file = self.path.open("w", encoding="utf-8", **_TEXT)
            if self._header is not None:
                csv.writer(self._file).writerow([*self._without_reason(self._header), REASON])
        self.count += 1
        if self._header is None:
            self._file.write(_with_reason(row) + "\n")
        else:
            cells = [*row.raw, *[""] * (len(self._header) - len(row.raw))]
            csv.writer(self._file).writerow([*self._without_reason(cells), row.reason])

    def _without_reason(self, cells: list[str]) -> list[str]:
        """Leave an earlier reason out: the file may be one of these, sent again."""
        names = self._header or []
        return [cell for place, cell in enumerate(cells) if place >= len(names) or names[place].strip() != REASON]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()


def beside(name: str, form: Format) -> Path:
    """Give the path of the invalid rows of an input: ``leads.csv`` → ``leads.invalid.csv``."""
    if name == "-":
        return Path(f"stdin.invalid.{form}")
    path = Path(name)
    return path.with_name(f"{path.stem}.invalid{path.suffix or f'.{form}'}")


def _with_reason(row: Row) -> str:
    """Give a line with its reason inside; one that is no object stands whole in a field of its own."""
    try:
        given = json.loads(str(row.raw))
    except (ValueError, RecursionError):
        given = None
    return json.dumps({**(given if isinstance(given, dict) else {"line": row.raw}), REASON: row.reason})

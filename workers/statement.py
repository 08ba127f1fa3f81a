"""The buyer's statement, a CSV file: its columns found by name, its rows read or refused by line and column."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import BinaryIO, Final, NoReturn, TypeVar

from tasks.core.caps import Calendar
from tasks.core.money import Money
from tasks.core.reconciliation import Row

T = TypeVar("T")

# What a column may be called, without case and separators. The first is the word itself, and wins over the others.
NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "token": ("token", "bidtoken", "pingtoken", "calltoken", "leadtoken"),
    "customid": ("customid", "custom", "leadid", "yourid", "sellerid", "externalid", "reference"),
    "price": ("price", "payout", "amount", "revenue", "earnings", "commission"),
    "date": ("date", "day", "solddate", "saledate", "calldate", "datetime", "timestamp", "time"),
}
DELIMITERS: Final = ",;\t|"
LONGEST_LINE: Final = 64 * 1024  # bytes
LONGEST_NAME: Final = 255
LARGEST: Final = 1_000_000  # rows
MOST_FAULTS: Final = 20


class BadStatement(Exception):
    """A file that cannot be taken for a statement. `faults` name line and column, and hold nothing of the cells."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class Form:
    """How a statement is to be read.

    `columns` are the operator's own names by ours (`NAMES`); `date_format` is strptime's, or None for ISO 8601. Dates
    without a zone are the buyer's.
    """

    columns: Mapping[str, str]
    date_format: str | None
    calendar: Calendar


def read(path: Path, form: Form) -> list[Row]:
    """Read a whole statement.

    Raises:
        BadStatement: every fault, or the first `MOST_FAULTS` of them.
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        return _Reader(stream, form).rows()


class _Reader:
    def __init__(self, stream: BinaryIO, form: Form) -> None:
        self._form = form
        lines = _lines(stream)
        first = next(lines, "").removeprefix("\ufeff")
        try:
            headers = {one: next(csv.reader([first], delimiter=one), []) for one in DELIMITERS}
        except csv.Error as fault:
            raise BadStatement([f"line 1: {_words(fault)}"]) from None
        delimiter = max(DELIMITERS, key=lambda one: len(headers[one]))
        self._header = [name.strip() for name in headers[delimiter]]
        self._places = _places(self._header, form.columns)
        self._csv = csv.reader(lines, delimiter=delimiter, strict=True)
        self._faults: list[str] = []

    def rows(self) -> list[Row]:
        rows: list[Row] = []
        for line, cells in self._cells():
            if (row := self._row(line, cells)) is not None:
                rows.append(row)
            if len(self._faults) >= MOST_FAULTS:
                break
            if len(rows) > LARGEST:
                raise BadStatement([f"line {line}: more than {LARGEST} rows; cut the statement by its days"])
        if self._faults:
            raise BadStatement(self._faults)
        return rows

    def _cells(self) -> Iterator[tuple[int, list[str]]]:
        """Give each row that is not empty with the line at which it begins."""
        while True:
            line = self._csv.line_num + 2  # the header was read before
            try:
                cells = next(self._csv, None)
            except csv.Error as fault:
                raise BadStatement([*self._faults, f"line {line}: {_words(fault)}"]) from None
            if cells is None:
                return
            if any(cell.strip() for cell in cells):
                yield line, cells

    def _row(self, line: int, cells: list[str]) -> Row | None:
        # Some programs end each row with a delimiter.
        if len(cells) < len(self._header) or any(cells[len(self._header) :]):
            self._faults.append(f"line {line}: {len(cells)} cells under {len(self._header)} columns")
            return None
        before = len(self._faults)
        token = self._take(line, cells, "token", _name)
        customid = self._take(line, cells, "customid", _name)
        price = self._take(line, cells, "price", Money.parse, required=True)
        day = self._take(line, cells, "date", self._day, required=True)
        if len(self._faults) == before and token is None and customid is None:
            self._faults.append(f"line {line}: neither token nor customid")
        if len(self._faults) > before or price is None:
            return None
        return Row(line, token, customid, price, day)

    def _take(
        self, line: int, cells: list[str], name: str, take: Callable[[str], T], *, required: bool = False
    ) -> T | None:
        place = self._places.get(name)
        if place is None:
            return None
        text = cells[place].strip()
        try:
            if text.startswith("="):
                raise ValueError("a formula; export the values")
            if not text and required:
                raise ValueError("is empty")
            return take(text) if text else None
        except (ValueError, OverflowError) as fault:
            self._faults.append(f"line {line}, column {_shown(self._header[place], place)}: {fault}")
            return None

    def _day(self, text: str) -> date:
        form = self._form
        try:
            at = datetime.strptime(text, form.date_format) if form.date_format else datetime.fromisoformat(text)  # noqa: DTZ007 - the zone follows
        except ValueError:
            wanted = form.date_format or "2026-11-23 or 2026-11-23T18:00:00Z (or tell its form by --date-format)"
            raise ValueError(f"not a date such as {wanted}") from None
        if at.tzinfo is None:
            if at.time() == datetime.min.time():
                return at.date()
            at = at.replace(tzinfo=form.calendar.zone)
        return form.calendar.day(at.astimezone(UTC))


def _lines(stream: BinaryIO) -> Iterator[str]:
    """Give a stream's lines, and refuse what is no text of lines before it fills the memory."""
    for number, line in enumerate(iter(lambda: stream.readline(LONGEST_LINE), b""), 1):
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            raise BadStatement([f"line {number}: longer than {LONGEST_LINE} bytes"])
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError as fault:
            raise BadStatement([f"line {number}, byte {fault.start + 1}: not UTF-8"]) from None


def _places(header: Sequence[str], chosen: Mapping[str, str]) -> dict[str, int]:
    """Find the columns of a header. Raises BadStatement where one is missing, or where it could be either of two."""
    if not any(header):
        raise BadStatement(["line 1: no header; the first line names the columns"])
    places = {}
    for name, aliases in NAMES.items():
        place = _place(header, name, aliases, chosen.get(name))
        if place is not None:
            places[name] = place
    if "token" not in places and "customid" not in places:
        _missing(header, "token", "customid")
    if "price" not in places:
        _missing(header, "price")
    return places


def _place(header: Sequence[str], name: str, aliases: Sequence[str], chosen: str | None) -> int | None:
    plain = [_plain(title) for title in header]
    if chosen is not None:
        found = [place for place, title in enumerate(header) if title == chosen.strip()]
        found = found or [place for place, title in enumerate(plain) if title == _plain(chosen)]
        if not found:
            raise BadStatement([f"line 1: no column {chosen!r}, which --column takes for the {name}"])
    else:
        own = [place for place, title in enumerate(plain) if title == aliases[0]]
        found = own or [place for place, title in enumerate(plain) if title in aliases]
    if len(found) > 1:
        which = " and ".join(f"{place + 1} ({_shown(header[place], place)})" for place in found)
        hint = "rename one of them" if chosen or own else f"say which by --column {name}=NAME"
        raise BadStatement([f"line 1: columns {which} could both be the {name}; {hint}"])
    return found[0] if found else None


def _missing(header: Sequence[str], *names: str) -> NoReturn:
    there = ", ".join(_shown(title, place) for place, title in enumerate(header))[:300]
    options = " or ".join(f"--column {name}=NAME" for name in names)
    raise BadStatement([f"line 1: no column for the {' or the '.join(names)} among {there}; say which by {options}"])


def _words(fault: csv.Error) -> str:
    # The module's own words for it are a programmer's.
    return "lines end with a carriage return alone" if "new-line" in str(fault) else str(fault)


def _plain(title: str) -> str:
    return re.sub(r"[\W_]", "", title.casefold())


def _shown(title: str, place: int) -> str:
    printable = not any(unicodedata.category(character)[0] == "C" for character in title)
    return title if title and printable and len(title) <= 40 else f"number {place + 1}"


def _name(text: str) -> str:
    if len(text) > LONGEST_NAME:
        raise ValueError(f"longer than {LONGEST_NAME} characters")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise ValueError("has a control character")
    return text

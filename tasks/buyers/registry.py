"""The buyer's tables, read once at a start: the protocol, and the mapping by which its answers are read."""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from tasks.buyers.mapping import AnswerMapping
from tasks.core.protocol import Action, Call, Code, FieldRule, Protocol

BUYER: Final = files("tasks.buyers.letsmakealead")
MAPPING_KEYS: Final = tuple(key.name for key in fields(AnswerMapping) if key.init)
_OPTIONAL: Final = ("min_length", "max_length", "constant", "identity", "secret")
_CATEGORY_HEADING: Final = ["numcategory", "name"]


def load_protocol(categories: Path | None = None) -> Protocol:
    """Read the buyer's tables. `categories` is a CSV file ``numcategory,name`` that adds to the catalogue or renames.

    Raises:
        ValueError: a row of the file that is no category; the text names the line.
        OSError: the file cannot be read.
    """
    buyer = _table("buyer.toml")
    vertical = _table(f"{buyer['vertical']}.toml")
    catalogue = {row["numcategory"]: row["name"] for row in vertical["categories"]}
    if categories is not None:
        catalogue.update(_categories(categories))
    return Protocol(
        buyer=buyer["name"],
        vertical=vertical["name"],
        fields=tuple(_rule(row) for row in vertical["fields"]),
        categories=catalogue,
        codes={
            row["code"]: Code(row["code"], row["meaning"], Action(row["action"]), of_source=row.get("of_source", False))
            for row in buyer["codes"]
        },
        forward_within_s=buyer["limits"]["forward_within_s"],
        answer_bytes=buyer["limits"]["answer_bytes"],
        test_subid=buyer["test_mode"]["subid"],
        test_price=buyer["test_mode"]["direct_post_price"],
        one_step_url=buyer["endpoints"]["one_step"],
    )


def load_mapping(override: Path | None = None) -> AnswerMapping:
    """Read how answers are read: the buyer's `[mapping]`, overridden key by key by a TOML file of the operator's.

    The file's keys stand at its top or in a table `[mapping]`.

    Raises:
        ValueError: an unknown key, a value that is no list of names, or words that contradict; the text names the key.
        OSError: the file cannot be read.
    """
    given = {} if override is None else _override(override)
    return mapping_with(given)


def mapping_with(given: dict[str, Any]) -> AnswerMapping:
    """Give the buyer's mapping with some keys replaced.

    Raises:
        ValueError: see `load_mapping`.
    """
    for key, names in given.items():
        if key not in MAPPING_KEYS:
            raise ValueError(f"{key}: unknown key (known: {', '.join(MAPPING_KEYS)})")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"{key}: must be a list of strings")
    whole: dict[str, Any] = {**_table("buyer.toml")["mapping"], **given}
    return AnswerMapping(**{key: tuple(names) for key, names in whole.items()})


def _override(path: Path) -> dict[str, Any]:
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise ValueError(f"no TOML: {fault}") from None
    table = given.pop("mapping", None)
    if table is None:
        return given
    if not isinstance(table, dict):
        raise ValueError("mapping: must be a table")  # noqa: TRY004 - the operator's value is wrong, not our type
    if given:
        raise ValueError(f"{next(iter(given))}: must stand in the table [mapping], as the others do")
    return table


def rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Give the rows of a CSV file in UTF-8 that are not blank, each with the number of the line on which it ends.

    Raises:
        ValueError: not CSV, or not UTF-8.
        OSError: the file cannot be read.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            for row in reader:
                if any(cell.strip() for cell in row):
                    yield reader.line_num, [cell.strip() for cell in row]
        except csv.Error as fault:
            raise ValueError(f"line {reader.line_num}: no CSV: {fault}") from None
        except UnicodeDecodeError:
            raise ValueError(f"line {reader.line_num + 1} or after it: not UTF-8") from None


def _table(name: str) -> dict[str, Any]:
    return tomllib.loads((BUYER / name).read_text(encoding="utf-8"))


def _rule(row: dict[str, Any]) -> FieldRule:
    return FieldRule(
        name=row["name"],
        source=row["source"],
        presence={call: row[call.value] for call in Call},
        kind=row["kind"],
        allowed=tuple(row.get("allowed", ())),
        **{name: row[name] for name in _OPTIONAL if name in row},
    )


def _categories(path: Path) -> dict[int, str]:
    found: dict[int, str] = {}
    for line, row in rows(path):
        if not found and [cell.lower() for cell in row] == _CATEGORY_HEADING:
            continue
        if len(row) != len(_CATEGORY_HEADING):
            raise ValueError(f"line {line}: must be numcategory,name")
        number, name = row
        if not (number.isascii() and number.isdecimal() and len(number) < 10):
            raise ValueError(f"line {line}: numcategory: must be a number")
        if not name:
            raise ValueError(f"line {line}: name: required")
        if found.setdefault(int(number), name) != name:
            raise ValueError(f"line {line}: name: {number} has another name on a line before")
    return found

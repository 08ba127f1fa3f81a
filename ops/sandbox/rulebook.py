"""The buyer's own rules, read from the files in which they are written once.

`tasks/buyers/letsmakealead/buyer.toml` and `call_routing_legal.toml` say which call carries which field, how long a
value may be, what a code means and how test mode is entered. The sandbox reads those two files and no code beside them,
so that it agrees with the seller about the rules and about nothing else.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

BUYER = Path(__file__).resolve().parents[2] / "tasks" / "buyers" / "letsmakealead"
VERTICAL = "call_routing_legal"
CREDENTIALS = ("partnerid", "key")

# How a value of each kind is spelt. A string is one line; a text may have several. Lone surrogates are no characters.
_LINE = r"[^\x00-\x1f\x7f\ud800-\udfff]"
_TEXT = r"[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]"
_MONEY = r"[0-9]{1,7}(?:\.[0-9]{1,6})?"
_UNLIMITED = 500


class Call(StrEnum):
    """The four calls of the buyer's page; the values are the columns of the fields table."""

    PING = "ping"
    POST = "post"
    ONE_STEP = "one_step"
    DIRECT_POST = "direct_post"


@dataclass(frozen=True, slots=True)
class Findings:
    """What is wrong with the fields of one call: names of the fields table, and how often it was something else."""

    missing: tuple[str, ...]
    ill_formed: tuple[str, ...]
    forbidden: tuple[str, ...]
    unknown: int


@dataclass(frozen=True, slots=True)
class Form:
    """One call's column of the fields table, made ready for a look-up per field."""

    required: tuple[str, ...]
    checks: Mapping[str, Callable[[str], object]]
    forbidden: frozenset[str]

    def examine(self, fields: Mapping[str, str], ill_formed: Collection[str] = ()) -> Findings | None:
        """Return what is wrong with `fields`, or None; `ill_formed` names those that were no text to begin with."""
        # A name that the table does not have was written by the seller and may be anything: it is counted, not kept.
        ill = [name for name in ill_formed if name in self.checks]
        strays = []
        for name, value in fields.items():
            check = self.checks.get(name)
            if check is None:
                strays.append(name)
            elif value and not check(value):
                ill.append(name)
        missing = [name for name in self.required if not fields.get(name) and name not in ill]
        if not (ill or strays or missing):
            return None
        forbidden = tuple(name for name in strays if name in self.forbidden)
        return Findings(tuple(missing), tuple(ill), forbidden, len(strays) - len(forbidden))


@dataclass(frozen=True, slots=True)
class Rulebook:
    """All that the two files say to the buyer's side of the wire.

    `identity` are the names of the fields that tell who the caller is; `meanings` maps a listed code to its words.
    """

    forms: Mapping[Call, Form]
    identity: frozenset[str]
    meanings: Mapping[int, str]
    test_key: str
    test_subid: str


def load_rulebook(categories: Collection[str] = (), allow: Mapping[Call, Collection[str]] | None = None) -> Rulebook:
    """Read the buyer's two files.

    Args:
        categories: numbers sold beside those of the file (the page hides most of them).
        allow: fields that the table marks `no` and this scenario takes all the same, by call (a `price` on a ping).

    Raises:
        OSError, tomllib.TOMLDecodeError, KeyError: the package was installed without its data, or with damaged data.
    """
    buyer = tomllib.loads((BUYER / "buyer.toml").read_text(encoding="utf-8"))
    vertical = tomllib.loads((BUYER / f"{VERTICAL}.toml").read_text(encoding="utf-8"))
    known = {str(row["numcategory"]) for row in vertical["categories"]} | set(categories)
    checks = {row["name"]: _check(row) for row in vertical["fields"]}
    checks["numcategory"] = known.__contains__
    allowed = allow or {}
    return Rulebook(
        forms={call: _form(call, vertical["fields"], checks, set(allowed.get(call, ()))) for call in Call},
        identity=frozenset(row["name"] for row in vertical["fields"] if row.get("identity")),
        meanings={int(row["code"]): str(row["meaning"]) for row in buyer["codes"]},
        test_key=buyer["test_mode"]["key"],
        test_subid=buyer["test_mode"]["subid"],
    )


def _form(
    call: Call,
    rows: list[dict[str, Any]],
    checks: Mapping[str, Callable[[str], object]],
    allowed: Collection[str],
) -> Form:
    carried = {row["name"] for row in rows if row[call] != "no" or row["name"] in allowed}
    return Form(
        required=tuple(row["name"] for row in rows if row[call] == "required"),
        checks={name: check for name, check in checks.items() if name in carried},
        forbidden=frozenset(row["name"] for row in rows) - carried,
    )


def _check(row: dict[str, Any]) -> Callable[[str], object]:
    """Return what is true of a well-formed value that is not blank."""
    if "allowed" in row:
        return frozenset(row["allowed"]).__contains__
    least, most = row.get("min_length", 1), row.get("max_length", _UNLIMITED)
    match row["kind"]:
        case "money":
            pattern = _MONEY
        case "digits" | "integer":
            pattern = rf"[0-9]{{{least},{min(most, 18)}}}"
        case "text":
            pattern = rf"{_TEXT}{{{least},{most}}}"
        case _:
            pattern = rf"{_LINE}{{{least},{most}}}"
    return re.compile(pattern).fullmatch

"""From a producer's JSON object to a lead, or to every fault in it at once.

A fault names the field and the rule, never the value: reasons are logged, and values are a stranger's.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

from tasks.core.lead import Flow, Lead
from tasks.core.money import Money
from tasks.core.protocol import FieldRule, Protocol

LEAD_ID = re.compile(r"[A-Za-z0-9_.:-]{1,40}", re.ASCII)
LONGEST_DEADLINE_S = 3600
LONGEST_ADDRESS = 255
CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d"
RFC3339 = re.compile(rf"\d{{4}}-\d\d-\d\d[Tt ]{CLOCK}:[0-5]\d(?:\.\d{{1,9}})?(?:[Zz]|[+-]{CLOCK})", re.ASCII)
FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}", re.ASCII)
OURS = frozenset({"lead_id", "flow", "price", "deadline_s", "created_at", "reply_to"})

T = TypeVar("T")


class InvalidLead(ValueError):
    """A lead that breaks rules. `faults` are sentences such as ``zipcode: must be exactly 5 digits``."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a lead gets where it names nothing itself, and whether the key in force is the test key."""

    flow: Flow
    deadline_s: float
    subid: str
    test_mode: bool


class _Fault(Exception):
    """One broken rule, to be gathered."""


def read_time(value: object) -> datetime:
    """Read an RFC 3339 time with an offset, in UTC.

    Raises:
        ValueError: it is none; says what would be one.
    """
    if isinstance(value, str) and RFC3339.fullmatch(value):
        try:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise ValueError("must be an RFC 3339 time with an offset, such as 2026-11-23T18:00:00Z")


def read_lead(given: Mapping[str, Any], protocol: Protocol, defaults: Defaults) -> Lead:
    """Check a producer's object against the fields table.

    Raises:
        InvalidLead: with every fault at once.
    """
    faults: list[str] = []
    known = OURS | {rule.name for rule in protocol.lead_fields}
    faults.extend(f"{_shown(name, place)}: unknown field" for place, name in enumerate(given, 1) if name not in known)
    fields = dict(_buyer_fields(given, protocol, defaults, faults))
    subid = fields.get("subid")
    if subid == protocol.test_subid and not defaults.test_mode:
        faults.append("subid: the buyer's test source, which a live key may not use")
    if "lead_id" not in given:
        faults.append("lead_id: required")
    lead_id = _own(given, "lead_id", _lead_id, faults)
    flow = _own(given, "flow", _flow, faults) or defaults.flow
    price = _own(given, "price", _price, faults)
    deadline_s = _own(given, "deadline_s", _deadline, faults)
    created_at = _own(given, "created_at", _created_at, faults)
    _own(given, "reply_to", _reply_to, faults)
    if faults or lead_id is None:
        raise InvalidLead(faults)
    return Lead(lead_id, flow, fields, defaults.deadline_s if deadline_s is None else deadline_s, created_at, price)


def _buyer_fields(
    given: Mapping[str, Any], protocol: Protocol, defaults: Defaults, faults: list[str]
) -> Iterator[tuple[str, str]]:
    for rule in protocol.lead_fields:
        value = given.get(rule.name, defaults.subid or None if rule.name == "subid" else None)
        if value is None and rule.name not in given:
            if rule.required:
                faults.append(f"{rule.name}: required")
            continue
        try:
            text = _text(value, rule)
            if rule.required and not text:
                raise _Fault("required")
            if text:
                _check(text, rule)
            if rule.name == "numcategory" and int(text) not in protocol.categories:
                raise _Fault("not a category of the catalogue")
        except _Fault as fault:
            faults.append(f"{rule.name}: {fault}")
            continue
        if text:
            yield rule.name, text


def _text(value: object, rule: FieldRule) -> str:
    """Give a field's value as the string that the buyer gets; an empty one is a field not filled in.

    Raises:
        _Fault: wrong type, or a character that is not allowed.
    """
    return _integer(value) if rule.kind == "integer" else _string(value, lines=rule.kind == "text")


def _check(text: str, rule: FieldRule) -> None:
    """Hold a value that is not empty against its row of the fields table.

    Raises:
        _Fault: wrong length, no digits where digits are due, or a value that is not allowed.
    """
    right_length = rule.min_length <= len(text) and (rule.max_length is None or len(text) <= rule.max_length)
    if rule.kind == "digits" and not (right_length and text.isascii() and text.isdecimal()):
        raise _Fault(f"must be a string of {_lengths(rule)} digits")
    if not right_length:
        raise _Fault(f"must have {_lengths(rule)} characters")
    if rule.allowed and text not in rule.allowed:
        raise _Fault(f"must be one of {', '.join(rule.allowed)}")


def _lengths(rule: FieldRule) -> str:
    if rule.max_length is None:
        return f"at least {rule.min_length}"
    if rule.min_length == rule.max_length:
        return f"exactly {rule.max_length}"
    return f"{rule.min_length} to {rule.max_length}" if rule.min_length else f"at most {rule.max_length}"


def _integer(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9:
        return str(value)
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10:
        return str(int(value))
    raise _Fault("must be an integer or a string of digits")


def _string(value: object, *, lines: bool = False) -> str:
    if not isinstance(value, str):
        raise _Fault("must be a string")
    if value.isascii() and value.isprintable():  # as most are
        return value
    for character in value:
        # Control characters, lone surrogates and the like: no reader after us agrees on them.
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") and not (lines and character in "\n\r\t"):
            raise _Fault("has a control character")
    return value


def _own(given: Mapping[str, Any], name: str, read: Callable[[object], T], faults: list[str]) -> T | None:
    if name not in given:
        return None
    try:
        return read(given[name])
    except _Fault as fault:
        faults.append(f"{name}: {fault}")
        return None


def _lead_id(value: object) -> str:
    if not isinstance(value, str) or LEAD_ID.fullmatch(value) is None:
        raise _Fault("must be 1 to 40 characters of A-Za-z0-9_.:-")
    return value


def _flow(value: object) -> Flow:
    if isinstance(value, str) and value in set(Flow):
        return Flow(value)
    raise _Fault(f"must be one of {', '.join(Flow)}")


def _price(value: object) -> Money:
    try:
        if isinstance(value, str):
            return Money.parse(value)
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            return Money.of(Decimal(value))
    except ValueError:
        pass
    raise _Fault("must be an amount of dollars, at most 100000, with at most six decimals")


def _deadline(value: object) -> float:
    if isinstance(value, int | Decimal) and not isinstance(value, bool) and 0 < value <= LONGEST_DEADLINE_S:
        return float(value)
    raise _Fault(f"must be a number of seconds over 0 and up to {LONGEST_DEADLINE_S}")


def _created_at(value: object) -> datetime:
    try:
        return read_time(value)
    except ValueError as fault:
        raise _Fault(str(fault)) from None


def _reply_to(value: object) -> str:
    text = _string(value)
    if not 0 < len(text) <= LONGEST_ADDRESS:
        raise _Fault(f"must be a queue's name of 1 to {LONGEST_ADDRESS} characters")
    return text


def _shown(name: str, place: int) -> str:
    """Name a field that we do not know, or give its place where its name is none.

    A producer who loses a heading sends a caller's e-mail, telephone or address as a name, and reasons are logged.
    """
    return name if FIELD_NAME.fullmatch(name) else f"(field {place}, whose name is not fit to be shown)"

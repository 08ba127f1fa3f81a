"""A request's fields, read from any of the three methods, however hostile the bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

MAX_FIELDS = 200
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


class UnreadableError(Exception):
    """The request holds no fields that could be read; its text says why and quotes nothing."""


@dataclass(slots=True)
class Reading:
    """The fields of one request, as text; `ill_formed` names those sent twice, or as no text and no number."""

    fields: dict[str, str]
    ill_formed: tuple[str, ...] = ()


def read_pairs(text: str) -> Reading:
    """Read a query string or a URL-encoded body.

    Raises:
        UnreadableError: the escapes are no UTF-8, or there are too many fields.
    """
    if text.count("&") >= MAX_FIELDS:
        raise UnreadableError("too many fields")
    try:
        # `parse_qsl` does the same in three times the time, and this is most of what a call costs.
        halves = [pair.partition("=") for pair in text.split("&") if pair]
        pairs = [(_unescaped(name), _unescaped(value)) for name, _, value in halves]
    except UnicodeDecodeError:
        raise UnreadableError("no readable form data") from None
    fields = dict(pairs)
    return Reading(fields) if len(fields) == len(pairs) else Reading(fields, _twice(pairs))


def read_form(body: bytes) -> Reading:
    """Read a URL-encoded body.

    Raises:
        UnreadableError: see `read_pairs`; or the body is no UTF-8.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise UnreadableError("no readable form data") from None
    return read_pairs(text)


def read_json(body: bytes) -> Reading:
    """Read a JSON object of texts and numbers; a number keeps the digits in which it was written.

    Raises:
        UnreadableError: the body is no JSON object, or is nested too deep.
    """
    try:
        pairs = json.loads(body, parse_int=str, parse_float=str, parse_constant=_no_number, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        raise UnreadableError("no readable JSON") from None
    if not isinstance(pairs, _Pairs) or len(pairs) > MAX_FIELDS:
        raise UnreadableError("no JSON object of fields")
    fields: dict[str, str] = {}
    odd: list[str] = []
    for name, value in pairs:
        if not isinstance(value, str):
            odd.append(name)
        elif name not in fields:
            fields[name] = value
    # A field that is no text is judged by the same table as the others: it must not slip past as if it were absent.
    return Reading({**dict.fromkeys(odd, ""), **fields}, (*odd, *_twice(pairs)))


class _Pairs(list[tuple[str, Any]]):
    """A JSON object before its keys are merged, so that a key sent twice is seen."""


def _no_number(_name: str) -> Any:
    raise ValueError("NaN and Infinity are no JSON")


def _unescaped(text: str) -> str:
    if "+" in text:
        text = text.replace("+", " ")
    return unquote(text, errors="strict") if "%" in text else text


def _twice(pairs: list[tuple[str, Any]]) -> tuple[str, ...]:
    names = [name for name, _ in pairs]
    return tuple(sorted({name for name in names if names.count(name) > 1}))

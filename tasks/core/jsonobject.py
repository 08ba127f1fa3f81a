"""A JSON object from a stranger: strict where the standard library is lenient.

Repeated keys, NaN and infinities, numbers of absurd length, lone surrogates and deep nesting are refused: each of them
means something else to the next reader.
"""

from __future__ import annotations

import json
from decimal import Decimal, DecimalException
from typing import Any, NoReturn

LONGEST_NUMBER = 40
_HALF = "\\ud"  # how an escaped surrogate begins, lone or one of a pair


class NotAnObject(ValueError):
    """The bytes are no JSON object as we take them; the text says why, and holds none of their content."""


def parse(body: bytes, limit: int) -> dict[str, Any]:
    """Read one UTF-8 JSON object of at most `limit` bytes. Fractions become `Decimal`.

    Raises:
        NotAnObject: for anything else.
    """
    if len(body) > limit:
        raise NotAnObject(f"longer than {limit} bytes")
    try:
        text = body.decode("utf-8-sig")
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_int=_integer,
            parse_float=_fraction,
        )
        if _HALF in text.lower():
            json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeDecodeError:
        raise NotAnObject("not UTF-8") from None
    except UnicodeEncodeError:
        raise NotAnObject("half a character (a lone surrogate)") from None
    except RecursionError:
        raise NotAnObject("nested too deeply") from None
    except json.JSONDecodeError:
        raise NotAnObject("not JSON") from None
    if not isinstance(value, dict):
        raise NotAnObject("not a JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotAnObject("a key stands twice")
    return found


def _no_constant(_name: str) -> NoReturn:
    raise NotAnObject("NaN and infinities are not JSON")


def _integer(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise NotAnObject("a number is too long")
    return int(digits)


def _fraction(digits: str) -> Decimal:
    if len(digits) > LONGEST_NUMBER:
        raise NotAnObject("a number is too long")
    try:
        return Decimal(digits)
    except DecimalException:  # an exponent that no decimal holds
        raise NotAnObject("a number is too long") from None

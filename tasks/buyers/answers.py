"""An answer read by a mapping: from bytes to the facts that they state, or to why they cannot be trusted.

Nothing is guessed. A fact may stand under any of its names, and more than once, if it says the same each time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeVar

from tasks.buyers.leaves import Leaf, NoLeavesError, read_leaves
from tasks.buyers.mapping import AnswerMapping, word
from tasks.core.money import Money
from tasks.core.reasons import Unreadable

LONGEST_TOKEN: Final = 255
# How values are written: a code, with words behind it where a buyer puts them there; a duration in seconds; a token.
CODE: Final = re.compile(r"#?\s*(-?\d{1,9})(?:\.0+)?\s*#?(?:[\s:,;.|\u2013\u2014-]+(.*))?", re.ASCII | re.DOTALL)
_SCIENTIFIC: Final = re.compile(r"\d(?:\.\d{1,20})?[eE][+-]?\d{1,2}", re.ASCII)
DURATION: Final = re.compile(r"(\d{1,6})(?:\.0+)?\s*(?:s|secs?|seconds?)?\.?", re.ASCII | re.IGNORECASE)
LONGEST_PHONE: Final = 40
_PHONE: Final = re.compile(r"\+? *\(? *\d[\d ().+-]*", re.ASCII)
_NO_DIGITS: Final = re.compile(r"\D+", re.ASCII)
_DECIMAL: Final = re.compile(r"\d+\.\d+", re.ASCII)
TOKEN: Final = re.compile(rf"[!-~]{{1,{LONGEST_TOKEN}}}")
_YES: Final = frozenset({"true", "yes"})
_NO: Final = frozenset({"false", "no", "0", ""})

V = TypeVar("V")
Found = dict[str, list[Leaf]]


@dataclass(frozen=True, slots=True)
class Facts:
    """What an answer states; None and empty where it says nothing.

    `accepted` is the status, where its word is known; other words of it are `status_words`. `faults` names the facts
    (``price``, ``duration``, ``phone_number``, ``token``) of which something was said that is not to be used.
    """

    accepted: bool | None = None
    status_words: tuple[str, ...] = ()
    price: Money | None = None
    token: str | None = None
    duration_s: int | None = None
    phone_number: str | None = None
    code: int | None = None
    reason: str | None = None
    remark: str | None = None
    customid: str | None = None
    faults: frozenset[str] = frozenset()


class _ContradictionError(ValueError):
    """Two values where there can be one; the text is the fact's name."""


def read_facts(body: bytes, content_type: str | None, mapping: AnswerMapping) -> Facts | Unreadable:
    """Read an answer's body. The format is told from the body itself; `content_type` gives the charset alone."""
    try:
        return _facts(_gather(read_leaves(body, content_type, mapping), mapping), mapping)
    except _ContradictionError as fault:
        return Unreadable(f"the answer contradicts itself: {fault}")
    except NoLeavesError as fault:
        return Unreadable(str(fault))


def is_phone_number(text: str) -> bool:
    """Whether this is a number to forward to: 7 to 15 digits, between them nothing but ``+ - . ( )`` and blanks.

    At most 40 characters in all.
    """
    digits = sum(character.isdecimal() for character in text)
    # A number with one dot and no other separator is a decimal that lost its meaning on the way: 8005550100.0
    fits = 7 <= digits <= 15 and len(text) <= LONGEST_PHONE
    return fits and _PHONE.fullmatch(text) is not None and _DECIMAL.fullmatch(text) is None


def dialled(number: str) -> str:
    """Give a number's digits, without the country code of North America: two ways to write it become one."""
    digits = _NO_DIGITS.sub("", number)
    return digits[1:] if len(digits) == 11 and digits.startswith("1") else digits


def _gather(leaves: Iterable[Leaf], mapping: AnswerMapping) -> Found:
    """Give the leaves of each fact. Those under a path hide those under a plain name."""
    by_path: Found = {}
    by_name: Found = {}
    for leaf in leaves:
        under_a_path, under_a_name = mapping.facts_at(leaf.path)
        for fact in under_a_path:
            by_path.setdefault(fact, []).append(leaf)
        for fact in under_a_name:
            by_name.setdefault(fact, []).append(leaf)
    return by_name | by_path


def _facts(found: Found, mapping: AnswerMapping) -> Facts:
    faults: set[str] = set()
    codes: set[int] = set()
    reasons: list[str] = []
    said: set[bool] = set()
    words = _status(found.get("status", ()), mapping, said)
    for leaf in found.get("code", ()):
        _code(leaf.text, mapping, codes, reasons)
    for leaf in found.get("reason", ()):
        _reason(leaf.text, mapping, said, codes, reasons)
    return Facts(
        accepted=_one("status", said),
        status_words=words,
        price=_price(found.get("price", ()), faults),
        token=_token(found.get("token", ()), faults),
        duration_s=_duration(found.get("duration", ()), faults),
        phone_number=_phone_number(found.get("phone_number", ()), faults),
        code=_one("code", codes),
        reason=_joined(reasons),
        remark=_joined([leaf.text for leaf in found.get("remark", ()) if leaf.kind != "truth"]),
        customid=_one("customid", {leaf.text for leaf in found.get("customid", ())}),
        faults=frozenset(faults),
    )


def _status(leaves: Sequence[Leaf], mapping: AnswerMapping, said: set[bool]) -> tuple[str, ...]:
    words = []
    for leaf in leaves:
        saying = word(leaf.text)
        if saying in mapping.yes:
            said.add(True)
        elif saying in mapping.no:
            said.add(False)
        else:
            words.append(leaf.text)
    return tuple(words)


def _code(text: str, mapping: AnswerMapping, codes: set[int], reasons: list[str]) -> None:
    """Take a code, and the words that some buyers put behind it. Words alone are a reason."""
    saying = word(text)
    found = CODE.fullmatch(text)
    if saying in mapping.nothing:
        return
    if found is None:
        if saying not in _YES | _NO | mapping.yes:
            reasons.append(text)
    elif found[1] not in mapping.nothing:
        codes.add(int(found[1]))
        reasons.append(found[2] or "")


def _reason(text: str, mapping: AnswerMapping, said: set[bool], codes: set[int], reasons: list[str]) -> None:
    """Take a reason. A bare number is a code; `true` says that there is an error, `false` that there is none."""
    saying = word(text)
    found = CODE.fullmatch(text)
    if saying in mapping.nothing | _NO:
        return
    if found is not None and not found[2]:
        _code(text, mapping, codes, reasons)
    elif saying in _YES:
        said.add(False)
    elif saying not in mapping.yes:
        reasons.append(text)


def _price(leaves: Sequence[Leaf], faults: set[str]) -> Money | None:
    return _sole({amount(leaf.text) for leaf in leaves if leaf.kind != "truth"}, "price", faults)


def amount(text: str) -> Money | None:
    """Read a price, also in the exponents of JSON's numbers; None: it is none."""
    try:
        return Money.of(Decimal(text)) if _SCIENTIFIC.fullmatch(text) else Money.parse(text)
    except ValueError:
        return None


def _duration(leaves: Sequence[Leaf], faults: set[str]) -> int | None:
    found = (DURATION.fullmatch(leaf.text) for leaf in leaves)
    return _sole({None if seconds is None else int(seconds[1]) for seconds in found}, "duration", faults)


def _token(leaves: Sequence[Leaf], faults: set[str]) -> str | None:
    token = _one("token", {leaf.text for leaf in leaves})
    if token is None or TOKEN.fullmatch(token):
        return token
    faults.add("token")
    return None


def _phone_number(leaves: Sequence[Leaf], faults: set[str]) -> str | None:
    """Give the number as the buyer wrote it. Two ways to write the same number are no contradiction."""
    written: dict[str, str] = {}
    for leaf in leaves:
        if is_phone_number(leaf.text):
            written.setdefault(dialled(leaf.text), leaf.text)
        else:
            faults.add("phone_number")
    number = _one("phone_number", set(written))
    return None if number is None else written[number]


def _joined(texts: Iterable[str]) -> str | None:
    return "; ".join(dict.fromkeys([text for text in texts if text])) or None


def _one(fact: str, values: set[V]) -> V | None:
    if len(values) > 1:
        raise _ContradictionError(fact.replace("_", " "))
    return next(iter(values), None)


def _sole(values: set[V | None], fact: str, faults: set[str]) -> V | None:
    """Give the value that all agree on; where they do not, or it could not be read, note the fault."""
    if len(values) > 1 or None in values:
        faults.add(fact)
        return None
    return next(iter(values), None)

"""What gives a fact away in an answer whose names say nothing: its value, beside all other answers of a test run.

Pure. Each clue looks at one value and says how certain it is that this is its fact, and why; or None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Final

from tasks.buyers.answers import CODE, DURATION, TOKEN, amount, dialled, is_phone_number
from tasks.buyers.evidence import Evidence, Sample
from tasks.buyers.leaves import Leaf
from tasks.buyers.mapping import word
from tasks.core.protocol import Call, Protocol

LONGEST_WORD: Final = 24
LONGEST_CALL_S: Final = 7200
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_NORTH_AMERICAN: Final = re.compile(r"[2-9]\d{2}[2-9]?\d{6,7}", re.ASCII)


class Certainty(IntEnum):
    """How certain a guess is."""

    UNSURE = 1
    LIKELY = 2
    CERTAIN = 3


Hint = tuple[Certainty, str]
Clue = Callable[[Sample, Leaf, Evidence, Protocol], Hint | None]


def _customid(sample: Sample, leaf: Leaf, _evidence: Evidence, _protocol: Protocol) -> Hint | None:
    return (Certainty.CERTAIN, "it is the customid that was sent") if leaf.text == sample.sent.get("customid") else None


def _token(sample: Sample, leaf: Leaf, evidence: Evidence, _protocol: Protocol) -> Hint | None:
    if leaf.text == sample.sent.get("token"):
        return Certainty.CERTAIN, "it is the token that was sent"
    is_one = len(leaf.text) >= 6 and TOKEN.fullmatch(leaf.text) and not (amount(leaf.text) or _DATE.match(leaf.text))
    if not is_one or not sample.positive or sample.call is not Call.PING or leaf.path in evidence.refused:
        return None
    values = evidence.accepted[leaf.path]
    new_each_time = len(values) > 1 and len(set(values)) == len(values)
    opaque = len(leaf.text) >= 12 and _has_digit(leaf.text)
    if new_each_time and opaque:
        return Certainty.CERTAIN, "another one in each accepted ping, and in no refusal"
    if new_each_time or opaque:
        return Certainty.LIKELY, "only accepted pings have it"
    return (Certainty.UNSURE, "only accepted pings have it") if _has_digit(leaf.text) else None


def _phone_number(sample: Sample, leaf: Leaf, evidence: Evidence, _protocol: Protocol) -> Hint | None:
    number = dialled(leaf.text)
    elsewhere = leaf.path in evidence.refused or leaf.path in evidence.pinged
    if not (sample.positive and sample.call.sells and is_phone_number(leaf.text)) or elsewhere:
        return None
    if number == dialled(sample.sent.get("telephone", "")) or _DATE.match(leaf.text):
        return None
    if _NORTH_AMERICAN.fullmatch(number) and len(number) == 10:
        return Certainty.CERTAIN, "a telephone number that is not the caller's, and in sales alone"
    return Certainty.UNSURE, "it may be dialled, and stands in sales alone"


def _code(sample: Sample, leaf: Leaf, evidence: Evidence, protocol: Protocol) -> Hint | None:
    found = CODE.fullmatch(leaf.text)
    if sample.positive or found is None or _was_sent(sample, leaf):
        return None
    if int(found[1]) in protocol.codes:
        return Certainty.CERTAIN, "a code of the page, in a refusal"
    if leaf.path in evidence.accepted or int(found[1]) == sample.http_status or not 3 <= len(found[1]) <= 6:
        return None
    return Certainty.UNSURE, "a number that only refusals have, though no code of the page"


def _status(_sample: Sample, leaf: Leaf, evidence: Evidence, _protocol: Protocol) -> Hint | None:
    words = status_words(leaf, evidence)
    if words is None or leaf.path in evidence.said_back:
        return None
    yes, no = words
    if set(map(word, yes)) <= evidence.mapping.yes and set(map(word, no)) <= evidence.mapping.no:
        return Certainty.CERTAIN, "its words are known ones"
    seen = min(len(evidence.accepted[leaf.path]), len(evidence.refused[leaf.path]))
    why = "one word in what was accepted, another in what was refused"
    return Certainty.LIKELY if seen > 1 else Certainty.UNSURE, why


def status_words(leaf: Leaf, evidence: Evidence) -> tuple[list[str], list[str]] | None:
    """Give the words at a leaf's place where a lead is taken, and where it is refused; None: it is no status."""
    yes, no = (list(dict.fromkeys(said.get(leaf.path, ()))) for said in (evidence.accepted, evidence.refused))
    short = all(word(text) and len(text) <= LONGEST_WORD for text in (*yes, *no))
    if not (yes and no and short) or len(yes) > 2 or len(no) > 2 or {*map(word, yes)} & {*map(word, no)}:
        return None
    spoken = all(any(letter.isalpha() for letter in text) for text in (*yes, *no))
    known = set(map(word, yes)) <= evidence.mapping.yes and set(map(word, no)) <= evidence.mapping.no
    return (yes, no) if spoken or known else None


def _price(sample: Sample, leaf: Leaf, evidence: Evidence, _protocol: Protocol) -> Hint | None:
    price = amount(leaf.text)
    if not sample.positive or not price or not price.micros or leaf.kind == "truth" or _refused(leaf, evidence):
        return None
    agreed = sample.sent.get("price")
    if agreed is not None and amount(agreed) == price:
        return Certainty.CERTAIN, "it is the price that was sent"
    if _was_sent(sample, leaf):
        return None
    if "." in leaf.text or "$" in leaf.text:
        return Certainty.LIKELY, "an amount that only acceptances have"
    return Certainty.UNSURE, "a number that only acceptances have"


def _duration(sample: Sample, leaf: Leaf, evidence: Evidence, _protocol: Protocol) -> Hint | None:
    found = DURATION.fullmatch(leaf.text)
    told = sample.positive and sample.call in (Call.PING, Call.ONE_STEP)
    if not told or found is None or _refused(leaf, evidence) or _was_sent(sample, leaf):
        return None
    if not 0 < int(found[1]) <= LONGEST_CALL_S:
        return None
    if not leaf.text.isdecimal() and "s" in leaf.text.lower():
        return Certainty.LIKELY, "seconds, in acceptances alone"
    return Certainty.UNSURE, "a whole number that only acceptances have"


def _reason(sample: Sample, leaf: Leaf, evidence: Evidence, protocol: Protocol) -> Hint | None:
    if sample.positive or leaf.path in evidence.accepted or leaf.kind != "text" or _was_sent(sample, leaf):
        return None
    if not any(letter.isalpha() for letter in leaf.text):
        return None
    if any(code.meaning.casefold() in leaf.text.casefold() for code in protocol.codes.values()):
        return Certainty.CERTAIN, "the page's words for a code, in refusals alone"
    if " " in leaf.text:
        return Certainty.LIKELY, "words that only refusals have"
    return Certainty.UNSURE, "a word that only refusals have"


# In the order in which they are looked for: a place that is one fact is no other.
CLUES: Final[Mapping[str, Clue]] = {
    "customid": _customid,
    "token": _token,
    "code": _code,
    "phone_number": _phone_number,
    "status": _status,
    "price": _price,
    "duration": _duration,
    "reason": _reason,
}


def _refused(leaf: Leaf, evidence: Evidence) -> bool:
    """Whether refusals have more at this place than a zero."""
    return any(word(text).strip("0.") for text in evidence.refused.get(leaf.path, ()))


def _was_sent(sample: Sample, leaf: Leaf) -> bool:
    """Whether a value is but what was sent; a short one may be so by chance."""
    return len(leaf.text) > 2 and leaf.text.casefold() in map(str.casefold, sample.sent.values())


def _has_digit(text: str) -> bool:
    return any(character.isdecimal() for character in text)


def best(candidates: Sequence[tuple[Hint, bool, Leaf]]) -> tuple[Hint, Leaf]:
    """Choose among a fact's candidates: each with its hint, and whether its name is one of the fact's own.

    One that stands alone is more certain than it looks, and one of several that look alike is less so.
    """
    ranked = sorted(candidates, key=lambda each: (each[0][0], each[1]), reverse=True)
    (certainty, why), named, leaf = ranked[0]
    alike = [each for each in ranked if each[0][0] == certainty and each[1] == named]
    if len(alike) > 1:
        return (Certainty.UNSURE, f"{why}; {len(alike)} places look so"), leaf
    if certainty is Certainty.UNSURE and (named or len(ranked) == 1):
        return (Certainty.LIKELY, f"{why}; {'its name says so' if named else 'nothing else looks so'}"), leaf
    return (certainty, why), leaf

"""Masking: what the buyer sends back is kept and logged, and may repeat the key and who the caller is.

A text is searched as a reader would read it: escapes of URLs, JSON and XML are undone first, and each character of the
result remembers the part of the text that it came from, which is what is replaced. So one search finds a value in
every encoding, and in any mixture of them.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

MASK: Final = "***"
WHOLE: Final = 4  # a shorter value is masked only where it stands as a word: "Jo" must not make "***b" of "Job"
RUN: Final = 3  # so many words in a row of a comment give it away
PHONE_DIGITS: Final = 10
FEWEST_DIGITS: Final = 7

_ESCAPES: Final = re.compile(
    r"(?:%[0-9A-Fa-f]{2})+|(?:\\u[0-9A-Fa-f]{4})+|\\x[0-9A-Fa-f]{2}|\\[\"\\/bfnrt']|&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|\w{2,8});",
    re.ASCII,
)
_BLANKS: Final = re.compile(r"[\s+\x00-\x1f]")
_NO_DIGITS: Final = re.compile(r"\D+")
_NUMBERS: Final = re.compile(r"\d(?:[\W_]{0,3}\d)+", re.ASCII)
_EMAIL: Final = re.compile(r"[^\s@<>\"'=,;:&()\[\]{}|\\/*]+@[\w-]+(?:\.[\w-]+)+")
_WORDS: Final = re.compile(r"\w+(?:[.'\N{RIGHT SINGLE QUOTATION MARK}-]\w+)*")
_EDGES: Final = re.compile(r"\A\W+|\W+\Z")
_PASSES: Final = 3  # a value that was escaped twice is found too

Span = tuple[int, int]


class Masker:
    """Masks one call's texts.

    Args:
        secrets: values that are masked wherever they stand.
        identity: who the caller is: field name → value. ``comments`` is masked by runs of words, others word by word.
    """

    def __init__(self, secrets: Iterable[str], identity: Mapping[str, str]) -> None:
        self._secrets = tuple(secrets)
        self._identity = identity
        self._needles: list[tuple[str, bool]] | None = None
        self._telephones = [digits for name in ("telephone",) if (digits := _last_digits(identity.get(name, "")))]

    def __repr__(self) -> str:
        return "Masker(...)"

    def knows(self, secrets: Iterable[str], identity: Mapping[str, str]) -> bool:
        """Whether it masks just these."""
        return self._identity == identity and self._secrets == tuple(secrets)

    def mask(self, text: str) -> str:
        """Give the text with every value replaced by ``***``, and every control character escaped."""
        if self._needles is None:
            self._needles = sorted(set(_needles(self._secrets, self._identity)))
        spans = list(self._spans(text))
        parts: list[str] = []
        end = 0
        for first, last in _merged(spans):
            parts += [text[end:first], MASK]
            end = last
        return _visible("".join([*parts, text[end:]]))

    def mask_fields(self, fields: Mapping[str, str], hidden: frozenset[str]) -> dict[str, str]:
        """Give a request's fields with the values of those in `hidden` replaced by ``***``."""
        return {name: MASK if name in hidden else value for name, value in fields.items()}

    def _spans(self, text: str) -> Iterator[Span]:
        plain, places = text, None
        for _ in range(_PASSES):
            for first, last in self._found(plain):
                yield (first, last) if places is None else (places[first][0], places[last - 1][1])
            unfolded = _unfold(plain, places)
            if unfolded is None:
                return
            plain, places = unfolded

    def _found(self, plain: str) -> Iterator[Span]:
        lower = _BLANKS.sub(" ", _lower(plain))
        for needle, as_word in self._needles or ():
            if needle in lower:
                yield from _occurrences(lower, needle, as_word=as_word)
        yield from (found.span() for found in _EMAIL.finditer(plain)) if "@" in plain else ()
        for telephone in self._telephones:
            yield from _dialled(plain, telephone)


def _needles(secrets: Iterable[str], identity: Mapping[str, str]) -> Iterator[tuple[str, bool]]:
    """Give what to search for, each with whether it must stand as a word."""
    for secret in secrets:
        yield from _whole(secret)
    for name, value in identity.items():
        for spelling in _spellings(value):
            yield from _whole(spelling)
            if name == "comments":
                yield from _runs(spelling)
            else:
                yield from _parts(spelling)


def _whole(value: str) -> Iterator[tuple[str, bool]]:
    needle = _BLANKS.sub(" ", _lower(value)).strip()
    if needle:
        yield needle, len(needle) < WHOLE


def _parts(value: str) -> Iterator[tuple[str, bool]]:
    for word in _WORDS.findall(_lower(value)):
        # A house's number alone names nobody, and would mask prices.
        if len(word) >= WHOLE and not word.isdecimal():
            yield word, True


def _runs(value: str) -> Iterator[tuple[str, bool]]:
    words = _BLANKS.sub(" ", _lower(value)).split()
    for first in range(len(words) - RUN + 1):
        run = _EDGES.sub("", " ".join(words[first : first + RUN]))
        if run:
            yield run, True


def _spellings(value: str) -> set[str]:
    """Give a value as it is, in capitals (which some letters lose themselves in), without accents, and garbled."""
    if value.isascii():
        return {value}
    composed = unicodedata.normalize("NFC", value)
    decomposed = unicodedata.normalize("NFD", value)
    bare = "".join(character for character in decomposed if not unicodedata.combining(character))
    garbled = value.encode(errors="replace").decode("latin-1")
    return {value, value.upper(), value.casefold(), composed, decomposed, bare, garbled}


def _occurrences(text: str, needle: str, *, as_word: bool) -> Iterator[Span]:
    first = text.find(needle)
    while first >= 0:
        last = first + len(needle)
        if not as_word or not (_joined(text, first) or _joined(text, last)):
            yield first, last
        first = text.find(needle, first + 1)


def _joined(text: str, place: int) -> bool:
    """Whether a word goes on over this place."""
    return 0 < place < len(text) and all(side.isalnum() or side == "_" for side in text[place - 1 : place + 1])


def _last_digits(telephone: str) -> str:
    digits = _NO_DIGITS.sub("", telephone)[-PHONE_DIGITS:]
    return digits if len(digits) >= FEWEST_DIGITS else ""


def _dialled(text: str, telephone: str) -> Iterator[Span]:
    """Find a telephone number whatever stands between its digits."""
    for run in _NUMBERS.finditer(text):
        if run.end() - run.start() < len(telephone) or telephone not in "".join(filter(str.isdecimal, run[0])):
            continue
        places = [place for place in range(*run.span()) if text[place].isdecimal()]
        digits = "".join(text[place] for place in places)
        first = digits.find(telephone)
        while first >= 0:
            yield places[first], places[first + len(telephone) - 1] + 1
            first = digits.find(telephone, first + 1)


def _lower(text: str) -> str:
    """Lower the case without changing the length."""
    lower = text.casefold()
    if len(lower) == len(text):  # no letter has become two
        return lower
    return "".join(map(_small, text))


def _small(character: str) -> str:
    forms = (character.casefold(), character.lower(), character)
    return next(form for form in forms if len(form) == 1)


def _unfold(text: str, places: list[Span] | None) -> tuple[str, list[Span]] | None:
    """Undo escapes once. Each character of the result has the span of the text it came from; None: nothing to undo."""
    if not ("%" in text or "\\" in text or "&" in text):
        return None
    plain: list[str] = []
    origin: list[Span] = []
    end = 0
    for found in _ESCAPES.finditer(text):
        meant = _meaning(found[0])
        first, last = found.span()
        plain += [text[end:first], meant]
        origin += [(place, place + 1) for place in range(end, first)]
        origin += _shares(first, last, len(meant), found[0])
        end = last
    if not plain:
        return None
    plain.append(text[end:])
    origin += [(place, place + 1) for place in range(end, len(text))]
    if places is not None:
        origin = [(places[first][0], places[last - 1][1]) for first, last in origin]
    return "".join(plain), origin


def _shares(first: int, last: int, count: int, escape: str) -> list[Span]:
    """Tell which part of a run of escapes each character stands for: its own, where all are of one length."""
    width = {"%": 3, "\\": 6}.get(escape[0], last - first)
    if count * width == last - first:
        return [(first + width * n, first + width * (n + 1)) for n in range(count)]
    return [(first, last)] * count


def _meaning(escape: str) -> str:
    if escape[0] == "%":
        raw = bytes.fromhex(escape.replace("%", ""))
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return raw.decode("latin-1")
    if escape[0] == "&":
        return html.unescape(escape)
    if escape[1] == "u":
        units = bytes.fromhex(escape.replace("\\u", ""))
        return units.decode("utf-16-be", "replace")
    if escape[1] == "x":
        return chr(int(escape[2:4], 16))
    return {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}.get(escape[1], escape[1])


def _merged(spans: Iterable[Span]) -> Iterator[Span]:
    """Join spans that touch or overlap."""
    begun: Span | None = None
    for first, last in sorted(spans):
        if begun is not None and first <= begun[1]:
            begun = (begun[0], max(begun[1], last))
            continue
        if begun is not None:
            yield begun
        begun = (first, last)
    if begun is not None:
        yield begun


def _visible(text: str) -> str:
    """Escape control characters, line ends, directions and halves of characters: a log line stays one line."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escaped(character) for character in text)


def _escaped(character: str) -> str:
    known = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return known.get(character) or f"\\u{ord(character):04x}"

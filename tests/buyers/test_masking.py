"""What is kept and logged never tells a key or a caller, in whatever encoding it comes back."""

from __future__ import annotations

import html
import json
from urllib.parse import quote, quote_plus, unquote_plus
from xml.sax.saxutils import escape

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tasks.buyers.masking import Masker

KEY = "771f5924706521c73464341fc48afb05"
CALLER = {
    "firstname": "Zoë",
    "lastname": "O'Brien & Söhne",
    "address": "1210 Ocean Drive",
    "city": "Miami",
    "telephone": "+1 (877) 268-1223",
    "email": "zoe.obrien@example.org",
    "comments": "Rear-ended at a red light, hurts a lot",
}


def masked(text: str, **identity: str) -> str:
    return Masker([KEY], identity or CALLER).mask(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No coverage in MIAMI", "No coverage in ***"),
        ("zoë, Zoe and ZoÃ«", "***, *** and ***"),
        ("O&#39;Brien &amp; S&#xF6;hne", "***"),
        ("O%27Brien+%26+S%C3%B6hne", "***"),
        ("o\\u0027brien \\u0026 s\\u00f6hne", "***"),
        ("O\\'Brien", "***"),
        ("the Söhne family", "the *** family"),
        ("Ocean View, 1210 Main", "*** View, 1210 Main"),
        ("price 1210.00", "price 1210.00"),
        ("877-268-1223", "***"),
        ("18772681223", "1***"),
        ("(877) 268.1223!", "(***!"),
        ("tel=%28877%29+268-1223", "tel=%28***"),
        ("call 877 268 1224", "call 877 268 1224"),
        ("somebody.else@example.com wrote", "*** wrote"),
        ("somebody%40example.com", "***"),
        (f"key={KEY.upper()};", "key=***;"),
        ("ended at a red lig", "ended *** lig"),
        ("a red light", "***"),
        ("light red a", "light red a"),
        ("%255A%256F%C3%AB", "***"),
        ("%2541 %25MiAmi", "%2541 %25***"),
        ("M%2569ami", "***"),
        ("Zo%EB \\x4diami\\n", "*** ***\\n"),
        ("a\nb\tc\x1b[0m\u202e\r", "a\\nb\\tc\\u001b[0m\\u202e\\r"),
        ("\ud800", "\\ud800"),
        ("&unknown; %zz \\q", "&unknown; %zz \\q"),
        ("", ""),
    ],
)
def test_a_text_is_masked_as_a_reader_would_read_it(text: str, expected: str) -> None:
    assert masked(text) == expected


def test_short_values_are_masked_as_words_only() -> None:
    assert masked("Jo took a Job, jo!", firstname="Jo") == "*** took a Job, ***!"


@pytest.mark.parametrize("text", ["Weiß", "WEISS", "weiss", "WEIẞ"])
def test_letters_that_become_others_in_capitals_are_found(text: str) -> None:
    assert masked(f"Frau {text}.", lastname="Weiß") == "Frau ***."


def test_a_comment_of_signs_masks_itself_alone() -> None:
    assert masked("a ! ! ! b ! c", comments="! ! !") == "a *** b ! c"


def test_a_short_telephone_is_masked_as_it_is() -> None:
    assert masked("dial 911 or 9115", telephone="911") == "dial *** or 9115"


def test_values_of_blanks_and_no_values_mask_nothing() -> None:
    assert Masker(["", " "], {"firstname": " ", "city": ""}).mask("a b") == "a b"


def test_overlapping_values_become_one_mask() -> None:
    assert masked("Anna Maria Annabelle", firstname="Anna Maria", lastname="Maria Annabelle") == "***"


def test_a_request_s_hidden_fields_are_masked_whole() -> None:
    fields = {"key": KEY, "zipcode": "33139"}
    assert Masker([KEY], {}).mask_fields(fields, frozenset({"key"})) == {"key": "***", "zipcode": "33139"}


def test_a_masker_s_repr_tells_nothing() -> None:
    assert repr(Masker([KEY], CALLER)) == "Masker(...)"


ENCODINGS = {
    "plain": lambda value: value,
    "upper": str.upper,
    "form": quote_plus,
    "url": lambda value: quote(value, safe=""),
    "lower url": lambda value: quote(value, safe="").lower(),
    "json": lambda value: json.dumps(value)[1:-1],
    "json utf-8": lambda value: json.dumps(value, ensure_ascii=False)[1:-1],
    "json slashes": lambda value: json.dumps(value)[1:-1].replace("/", "\\/"),
    "xml": lambda value: escape(value, {'"': "&quot;", "'": "&apos;"}),
    "numbers": lambda value: "".join(f"&#{ord(character)};" for character in value),
    "hexadecimal": lambda value: "".join(f"&#x{ord(character):X};" for character in value),
    "unicode": lambda value: "".join(
        f"\\u{unit:04x}" for character in value for unit in memoryview(character.encode("utf-16-le")).cast("H")
    ),
    "bytes": lambda value: "".join(f"%{byte:02X}" for byte in value.encode()),
    "json in a form": lambda value: quote_plus(json.dumps(value)[1:-1]),
    "xml in json": lambda value: json.dumps(escape(value))[1:-1],
}
letters = st.characters(categories=["L", "Nd"], max_codepoint=0x24F)
values = st.text(letters | st.sampled_from(" '&<>\"/-+%\\.,"), min_size=4, max_size=40).map(str.strip)


def undone(text: str) -> str:
    """Undo every escape, more often than the masker does."""
    for _ in range(3):
        text = html.unescape(unquote_plus(text))
        text = text.replace("\\/", "/").replace('\\"', '"').replace("\\\\", "\\")
    return text


@given(
    value=values,
    name=st.sampled_from(["firstname", "lastname", "address", "city", "email"]),
    encoding=st.sampled_from(sorted(ENCODINGS)),
    before=st.sampled_from(["", " ", '{"reason": "', "<reason>", "reason=", "name: "]),
    after=st.sampled_from(["", " ", '"}', "</reason>", "&", "!"]),
)
def test_no_value_gets_through_in_any_encoding(value: str, name: str, encoding: str, before: str, after: str) -> None:
    assume(sum(character.isalnum() for character in value) >= 4)
    assume(value == undone(value))  # a value that is itself an escape is read as what it escapes
    text = before + ENCODINGS[encoding](value) + after
    shown = Masker([], {name: value}).mask(text)
    assert value.lower() not in shown.lower()
    assert value.lower() not in undone(shown).lower()
    assert "***" in shown


@given(value=st.text("0123456789abcdef", min_size=8, max_size=40), encoding=st.sampled_from(sorted(ENCODINGS)))
def test_no_key_gets_through_in_any_encoding(value: str, encoding: str) -> None:
    assert Masker([value], {}).mask(f"x{ENCODINGS[encoding](value)}x") == "x***x"


@given(
    digits=st.text("0123456789", min_size=10, max_size=11),
    separators=st.lists(st.sampled_from(["", "-", " ", ".", ") ", " (", "/", "_", " - "]), min_size=11, max_size=11),
)
def test_no_telephone_gets_through_whatever_separates_its_digits(digits: str, separators: list[str]) -> None:
    written = "".join(digit + separator for digit, separator in zip(digits, separators, strict=False))
    shown = Masker([], {"telephone": digits}).mask(f"call {written} now")
    assert digits[-10:] not in "".join(character for character in shown if character.isdigit())


@given(comment=st.lists(st.text("abcdefgh", min_size=1, max_size=6), min_size=3, max_size=12), data=st.data())
def test_three_words_of_a_comment_in_a_row_never_get_through(comment: list[str], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(comment) - 3))
    part = " ".join(comment[first : first + 3])
    assert part not in Masker([], {"comments": " ".join(comment)}).mask(f"said: {part}")


@given(st.text(), st.dictionaries(st.sampled_from(sorted(CALLER)), st.text(max_size=30)))
def test_masking_never_raises_and_leaves_one_printable_line(text: str, identity: dict[str, str]) -> None:
    assert Masker([KEY], identity).mask(text).isprintable()


@given(st.text(st.characters(categories=["L", "N", "P", "S"], exclude_characters="@")))
def test_a_text_that_holds_nothing_secret_stays_as_it_is(text: str) -> None:
    assert Masker([KEY], {}).mask(text) == text

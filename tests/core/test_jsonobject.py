from __future__ import annotations

from decimal import Decimal

import pytest

from tasks.core.jsonobject import NotAnObject, parse

LIMIT = 64 * 1024


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"{}", {}),
        (b' {"a": 1}\n', {"a": 1}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        ('{"name": "Zoë 😀"}'.encode(), {"name": "Zoë 😀"}),
        (b'{"name": "\\ud83d\\ude00"}', {"name": "😀"}),
        (b'{"path": "C:\\\\udc00"}', {"path": "C:\\udc00"}),
        (b'{"a": [true, null, {"b": -7}]}', {"a": [True, None, {"b": -7}]}),
        (b'{"a": ' + b"9" * 40 + b"}", {"a": int("9" * 40)}),
    ],
)
def test_an_object_is_read_as_it_stands(body: bytes, value: object) -> None:
    assert parse(body, LIMIT) == value


def test_a_fraction_stays_exact() -> None:
    price = parse(b'{"price": 0.10}', LIMIT)["price"]
    assert isinstance(price, Decimal)
    assert str(price) == "0.10"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b'{"a": 1} {}', "not JSON"),
        (b'{"a": "line\nbreak"}', "not JSON"),
        (b"\xef\xbb\xbf\xef\xbb\xbf{}", "not JSON"),
        (b"\xff\xfe{\x00}\x00", "not UTF-8"),
        (b'{"a": "\xed\xa0\x80"}', "not UTF-8"),
        (b"[]", "not a JSON object"),
        (b'"a"', "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'{"a": 1, "a": 2}', "a key stands twice"),
        (b'{"b": {"a": 1, "\\u0061": 1}}', "a key stands twice"),
        (b'{"a": NaN}', "NaN and infinities"),
        (b'{"a": -Infinity}', "NaN and infinities"),
        (b'{"a": ' + b"9" * 41 + b"}", "a number is too long"),
        (b'{"a": 0.' + b"1" * 39 + b"}", "a number is too long"),
        (b'{"a": 1e99999999999999999999}', "a number is too long"),
        (b'{"a": 1e-99999999999999999999}', "a number is too long"),
        (b'{"a": "\\ud800"}', "half a character"),
        (b'{"\\uDFFF": 1}', "half a character"),
        (b'{"a": [{"b": 1.5, "c": "\\udc00\\ud800"}]}', "half a character"),
        (b'{"a": ' + b"[" * 30_000 + b"]" * 30_000 + b"}", "nested too deeply"),
        (b'{"a": "' + b"x" * LIMIT + b'"}', f"longer than {LIMIT} bytes"),
    ],
)
def test_anything_else_is_refused_with_its_reason(body: bytes, why: str) -> None:
    with pytest.raises(NotAnObject, match=why):
        parse(body, LIMIT)


def test_the_longest_body_is_taken_and_one_byte_more_is_not() -> None:
    assert parse(b'{"a": 1}', 8) == {"a": 1}
    with pytest.raises(NotAnObject, match="longer than 7 bytes"):
        parse(b'{"a": 1}', 7)


@pytest.mark.parametrize(
    "body",
    [b'{"a": "Marigold"', b'{"Marigold": 1, "Marigold": 2}', b'["Marigold"]', b'{"Marigold": NaN}', b"Marigold\xff"],
)
def test_a_refusal_holds_nothing_of_the_content(body: bytes) -> None:
    with pytest.raises(NotAnObject) as refusal:
        parse(body, LIMIT)
    assert "Marigold" not in str(refusal.value)

from __future__ import annotations

import json
from contextlib import suppress
from decimal import Decimal
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from tasks.core.jsonobject import NotAnObject, parse

LIMIT = 64 * 1024
TOKENS = ["{", "}", "[", "]", ",", ":", '"', '"a"', "\\", "\\u", "\\ud800", "\\udc00", "NaN", "-Infinity", "null", "1"]
TOKENS += ["-", ".", "e", "9" * 50, "1e9999999999999999999", "\ufeff", "\0", "\n", "é", "tru"]

scalars = st.none() | st.booleans() | st.integers(-(10**38), 10**38) | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=6)
objects = st.dictionaries(st.text(), values)
soup = st.lists(st.sampled_from(TOKENS)).map(lambda tokens: "".join(tokens).encode())
framed = soup.map(lambda middle: b'{"a":' + middle + b"}")


@given(st.binary() | soup | framed)
@example(b'{"a":' * 20_000)
@example(b'{"a":' + b"[" * 60_000)
@example(b'{"a":1e99999999999999999999}')
@example(b'{"a":"\\ud800"}')
@example(b'{"a":' + b"9" * 60_000 + b"}")
def test_hostile_bytes_are_an_object_or_refused_and_nothing_else(body: bytes) -> None:
    with suppress(NotAnObject):
        value = parse(body, LIMIT)
        assert type(value) is dict
        json.dumps(value, ensure_ascii=False, default=str).encode()  # whatever is let in can be written again


@given(objects, st.booleans(), st.sampled_from([None, 2]))
def test_an_honest_object_is_read_as_it_was_written(
    value: dict[str, Any], ascii_only: bool, indent: int | None
) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    assert parse(body, len(body)) == value


@given(st.integers(-(10**15), 10**15), st.integers(1, 15))
def test_a_fraction_is_read_to_its_last_digit(digits: int, places: int) -> None:
    told = format(Decimal(digits).scaleb(-places), "f")
    assert format(parse(f'{{"a":{told}}}'.encode(), LIMIT)["a"], "f") == told


@given(objects.filter(bool))
def test_a_key_that_stands_twice_is_refused_wherever_it_stands(value: dict[str, Any]) -> None:
    inner = json.dumps(value)[1:-1]
    for body in (f"{{{inner}, {inner}}}", f'{{"outer": [{{{inner}, {inner}}}]}}'):
        try:
            parse(body.encode(), 10 * LIMIT)
        except NotAnObject as refusal:
            assert str(refusal) == "a key stands twice"  # noqa: PT017 - a loop over two bodies
        else:
            raise AssertionError(body)

"""Facts read from bytes: what each shape says, and that nothing is ever guessed or raised."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.buyers.answers import Facts, dialled, is_phone_number, read_facts
from tasks.buyers.leaves import decode
from tasks.buyers.letsmakealead.wire import interpret
from tasks.buyers.mapping import AnswerMapping
from tasks.buyers.registry import load_mapping, load_protocol, mapping_with
from tasks.core.money import Money
from tasks.core.protocol import Call
from tasks.core.reasons import Unreadable
from tasks.core.sale import Sale

MAPPING = load_mapping()
PROTOCOL = load_protocol()
NUMBER = "8005550100"


def facts(body: Any, mapping: AnswerMapping = MAPPING, content_type: str | None = None) -> Facts | Unreadable:
    if not isinstance(body, str | bytes):
        body = json.dumps(body)
    return read_facts(body if isinstance(body, bytes) else body.encode(), content_type, mapping)


def read(body: Any, mapping: AnswerMapping = MAPPING) -> Facts:
    found = facts(body, mapping)
    assert isinstance(found, Facts), found
    return found


def why(body: Any, content_type: str | None = None) -> str:
    found = facts(body, content_type=content_type)
    assert isinstance(found, Unreadable), found
    return found.why


# Formats


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "an empty body"),
        (" \r\n", "an empty body"),
        ("\ufeff", "an empty body"),
        ("OK", "neither JSON, XML nor lines of key=value"),
        ("4000", "neither JSON, XML nor lines of key=value"),
        ('"accepted"', "neither JSON, XML nor lines of key=value"),
        ("price=1\nREJECTED\n", "neither JSON, XML nor lines of key=value"),
        ("=1", "neither JSON, XML nor lines of key=value"),
        (f"{'a' * 65}=1", "neither JSON, XML nor lines of key=value"),
        ("price=1\x00", "control characters"),
        ('{"price": 1', "starts as JSON, and is none"),
        ('{"price": 1} trailing', "starts as JSON, and is none"),
        ('{"price": NaN}', "NaN and infinities are not JSON"),
        ('{"price": -Infinity}', "NaN and infinities are not JSON"),
        ('{"token": "\\ud800"}', "half a character (a lone surrogate)"),
        ('{"\\udfff": 1}', "half a character (a lone surrogate)"),
        ("[" * 50_000, "nested too deeply"),
        ("[" * 40 + "]" * 40, "nested too deeply"),
        ("<a>" * 40 + "</a>" * 40, "nested too deeply"),
        ("<r><price>1</price>", "starts as XML, and is none"),
        ("<r>accepted <price>1</price></r>", "text between XML elements"),
        ("<r><price>1</price> rejected</r>", "text between XML elements"),
        ("<price>12<b>.</b>50</price>", "text between XML elements"),
        ("<!DOCTYPE r><r/>", "XML with a DTD or entities of its own"),
        ('<!DOCTYPE r SYSTEM "http://127.0.0.1/x"><r/>', "XML with a DTD or entities of its own"),
        ("<HTML><body>price=1</body></HTML>", "an HTML page"),
        ("<!doctype HTML>\n<p>", "an HTML page"),
        ("<br /><b>Warning</b>: mysql {}", "starts as XML, and is none"),
    ],
)
def test_a_body_of_no_format_that_we_read_is_unreadable(body: str, reason: str) -> None:
    assert why(body) == reason


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"reason": "caf\xc3\xa9"}', None),
        (b'{"reason": "caf\xe9"}', None),
        (b'{"reason": "caf\xe9"}', "application/json; charset=ISO-8859-1"),
        (b'{"reason": "caf\xe9"}', 'text/html; charset="windows-1252"'),
        (b'{"reason": "caf\xc3\xa9"}', "application/json; charset=us-ascii"),
        (b'{"reason": "caf\xc3\xa9"}', "application/json; charset=punycode"),
        (b'{"reason": "caf\xc3\xa9"}', "application/json; charset=utf-16"),
        ('{"reason": "café"}'.encode("utf-16"), None),
        ('{"reason": "café"}'.encode("utf-16-le"), "application/json; charset=UTF-16LE"),
        ('{"reason": "café"}'.encode("utf-32"), None),
        ('{"reason": "café"}'.encode("utf-8-sig"), "text/html"),
        (b'<?xml version="1.0" encoding="ISO-8859-1"?><r><reason>caf\xe9</reason></r>', None),
        (b'<?xml version="1.0" encoding="utf-16"?><r><reason>caf\xc3\xa9</reason></r>', "text/xml"),
        ("reason = café".encode(), "text/plain"),
    ],
)
def test_a_charset_is_told_by_mark_declaration_or_trial(body: bytes, content_type: str | None) -> None:
    found = facts(body, content_type=content_type)
    assert isinstance(found, Facts)
    assert found.reason == "café"


def test_bytes_of_no_charset_are_still_text() -> None:
    assert decode(b"\xff\x81", "charset=utf-8") == "ÿ\N{REPLACEMENT CHARACTER}"


# Names


@pytest.mark.parametrize("name", ["PhoneNumber", "phone_number", "PHONE-NUMBER", "Phone Number", "phone.number"])
def test_names_are_compared_without_case_and_separators(name: str) -> None:
    assert read({name: NUMBER}).phone_number == NUMBER
    assert read(f"{name}={NUMBER}").phone_number == NUMBER


@pytest.mark.parametrize(
    "body",
    [
        {"price": {"value": "9.50", "currency": "USD"}},
        '<r><price value="9.50"/></r>',
        '<r><price currency="USD">9.50</price></r>',
        '<r xmlns:x="urn:x"><x:price>9.50</x:price></r>',
        '<item key="price">9.50</item>',
        "<item><name>price</name><value>9.50</value></item>",
        {"items": [{"key": "Price", "value": 9.50}]},
        [[[{"price": ["9.50"]}]]],
        {"price": "9.50", "cost": None, "amount": "", "bid": {}, "payout": []},
        {"price": 9.5, "bid": True},
        {"price": "0.95e1"},
        "<price><!-- dollars -->9.50</price>",
        "<price><![CDATA[ 9.50 ]]></price>",
    ],
)
def test_a_value_is_found_wherever_buyers_put_it(body: Any) -> None:
    assert read(body).price == Money.parse("9.50")


@pytest.mark.parametrize(
    "body",
    [
        {"name": "price", "value": ["1", "2"], "key": "x"},
        {"name": "price"},
        {"value": "9.50"},
        {"name": "p" * 65, "value": "9.50"},
        "<item><name>price</name><name>cost</name><value>9.50</value></item>",
        "<item name='price'/>",
    ],
)
def test_what_is_no_pair_of_name_and_value_says_nothing(body: Any) -> None:
    assert read(body).price is None


def test_a_single_line_may_be_written_as_a_form_is() -> None:
    assert read("errorCode=5000&reason=No+coverage%21") == Facts(code=5000, reason="No coverage!")
    assert read("price=12.50&token=abc&duration=60") == read("price=12.50\ntoken=abc\nduration=60")


def test_an_ampersand_in_a_line_among_others_is_part_of_its_value() -> None:
    assert read("price=12.50\ntoken=a&b=c").token == "a&b=c"


def test_blank_lines_between_lines_say_nothing() -> None:
    assert read("\n price = 9.50 \r\n\r\n token=t\r").token == "t"


def test_a_path_wins_over_plain_names_and_is_from_the_root() -> None:
    own = mapping_with({"price": ["Offer/Net-Amount", "price"]})
    assert read({"offer": {"NetAmount": "2"}, "price": "1"}, own).price == Money.parse("2")
    assert read({"offer": {"NetAmount": ""}, "price": "1"}, own).price == Money.parse("1")
    assert read({"x": {"offer": {"netamount": "2"}}, "price": "1"}, own).price == Money.parse("1")
    assert read('<offer net_amount="2"><price>1</price></offer>', own).price == Money.parse("2")


# Facts


@pytest.mark.parametrize(
    ("told", "accepted"),
    [
        ("Accepted", True),
        (True, True),
        (1, True),
        ("NO-MATCH", False),
        (False, False),
        ("0", False),
        (-1, None),
        ("pending", None),
        ("", None),
        (None, None),
    ],
)
def test_a_status_is_a_known_word(told: Any, accepted: bool | None) -> None:
    assert read({"status": told}).accepted is accepted


@pytest.mark.parametrize(
    ("told", "code"),
    [
        (4000, 4000),
        ("4000", 4000),
        ("#4000", 4000),
        ("#4000#", 4000),
        (4000.0, 4000),
        (" 4000 ", 4000),
        (-1, -1),
        (0, None),
        ("0000", None),
        (200, None),
        ("0 - no error", None),
        ("OK", None),
        ("none", None),
        (True, None),
        ("--", None),
        (10**12, None),
        ("", None),
    ],
)
def test_a_code_is_a_number_that_does_not_say_no_error(told: Any, code: int | None) -> None:
    assert read({"errorCode": told}).code == code


def test_words_behind_a_code_or_in_its_place_are_a_reason() -> None:
    assert read({"code": "4000 - Daily Cap reached"}) == Facts(code=4000, reason="Daily Cap reached")
    assert read({"code": "NO_COVERAGE"}) == Facts(reason="NO_COVERAGE")
    assert read({"code": 10**12}).reason == "1000000000000"


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("No coverage", Facts(reason="No coverage")),
        (5000, Facts(code=5000)),
        ("5000", Facts(code=5000)),
        ({"code": 5000, "message": "No coverage"}, Facts(code=5000, reason="No coverage")),
        ({"description": "No coverage"}, Facts(reason="No coverage")),
        (["No coverage", "No buyers", "No coverage"], Facts(reason="No coverage; No buyers")),
        ("4000 - Cap", Facts(reason="4000 - Cap")),
        (True, Facts(accepted=False)),
        ("yes", Facts(accepted=False)),
        (False, Facts()),
        ("none", Facts()),
        (0, Facts()),
        ("success", Facts()),
        ("", Facts()),
        ([], Facts()),
    ],
)
def test_an_error_is_a_reason_a_code_or_a_yes(told: Any, expected: Facts) -> None:
    assert read({"error": told}) == expected


def test_a_message_outside_an_error_is_a_remark() -> None:
    assert read({"message": "Thank you", "info": True}) == Facts(remark="Thank you")


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        (90, 90),
        ("90", 90),
        ("90 sec", 90),
        ("90s", 90),
        ("90 Seconds", 90),
        (90.0, 90),
        ("1:30", None),
        ("2 min", None),
        ("soon", None),
        (-90, None),
        (90.5, None),
        (10**7, None),
    ],
)
def test_a_duration_is_whole_seconds(told: Any, seconds: int | None) -> None:
    found = read({"duration": told})
    assert found.duration_s == seconds
    assert ("duration" in found.faults) is (seconds is None)


@pytest.mark.parametrize("told", ["a b", "a\u00a0b", "caf\u00e9", "a" * 256, "a\u0000b"])
def test_a_token_of_other_than_printable_ascii_is_none(told: str) -> None:
    assert read({"token": told}) == Facts(faults=frozenset({"token"}))


@pytest.mark.parametrize(
    ("told", "is_one"),
    [
        ("8005550100", True),
        ("+1 (800) 555-0100", True),
        ("(800) 555 0100", True),
        ("800.555.0100", True),
        ("5550100", True),
        ("123456789012345", True),
        ("555010", False),
        ("1234567890123456", False),
        ("8005550100.0", False),
        ("8.0055501E9", False),
        ("-8005550100", False),
        ("8005550100 x12", False),
        ("tel:8005550100", False),
        ("800,555,0100", False),
        ("٨٠٠٥٥٥٠١٠٠", False),
        ("N/A", False),
        ("800\n5550100", False),
        ("800\t5550100", False),
        ("8" + "-" * 33 + "005550", True),
        ("8" + "-" * 34 + "005550", False),
    ],
)
def test_a_phone_number_is_digits_and_what_stands_between_them(told: str, is_one: bool) -> None:
    assert is_phone_number(told) is is_one
    assert (read({"PhoneNumber": told}).phone_number == told) is is_one
    assert ("phone_number" in read({"PhoneNumber": told}).faults) is not is_one


def test_the_same_number_written_twice_is_told_as_it_came_first() -> None:
    assert read({"PhoneNumber": "+1 800 555 0100", "phone": "(800) 555-0100"}).phone_number == "+1 800 555 0100"
    assert dialled("+1 (800) 555-0100") == dialled("800.555.0100") != dialled("+33 800 555 0100")


@pytest.mark.parametrize(
    ("body", "fact"),
    [
        ('{"status": "accepted", "status": "rejected"}', "status"),
        ({"success": True, "data": {"status": "rejected"}}, "status"),
        ('{"code": 4000, "errorCode": 5000}', "code"),
        ({"PhoneNumber": NUMBER, "phone": "8005550199"}, "phone number"),
        ({"token": "a", "ping_token": "b"}, "token"),
        ({"token": ["a", "b"]}, "token"),
        ("<r token='a'><token>b</token></r>", "token"),
        ("token=a\ntoken=b", "token"),
    ],
)
def test_contradictions_are_unreadable(body: Any, fact: str) -> None:
    assert why(body) == f"the answer contradicts itself: {fact}"


@pytest.mark.parametrize(
    "body",
    [
        {"price": "1", "payout": "2"},
        {"price": "1", "payout": "one"},
        {"price": "one"},
        {"price": "-1"},
        {"price": 1e99},
        {"price": "1,250.00"},
        {"price": 10**30},
    ],
)
def test_a_price_that_is_none_or_two_is_a_fault(body: Any) -> None:
    assert read(body) == Facts(faults=frozenset({"price"}))


def test_equal_prices_in_other_words_are_one() -> None:
    assert read({"price": "12.50", "payout": 12.5, "bid": "$12.5"}).price == Money.parse("12.5")


def test_numbers_of_absurd_length_cost_nothing() -> None:
    assert read('{"price": %s}' % ("9" * 60_000)).faults == {"price"}


# Whatever comes

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
names = st.sampled_from(
    [name for fact in ("status", "price", "token", "code", "phone_number", "reason") for name in getattr(MAPPING, fact)]
    + ["name", "value", "key", "x"]
)
trees = st.recursive(
    scalars | st.sampled_from(["accepted", "rejected", "12.50", NUMBER, "4000", 4000, True]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names | st.text(), inner, max_size=6),
    max_leaves=20,
)
documents = st.recursive(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])).map(escape),
    lambda inner: st.lists(
        st.tuples(st.sampled_from(["price", "status", "token", "item", "PhoneNumber"]), st.text("ab<&\"'1"), inner),
        max_size=4,
    ).map(lambda parts: "".join(f"<{tag} name={quoteattr(value)}>{text}</{tag}>" for tag, value, text in parts)),
    max_leaves=12,
).map(lambda inner: f"<r>{inner}</r>")


def judged(body: bytes, content_type: str | None = None) -> list[object]:
    found = read_facts(body, content_type, MAPPING)
    return [interpret(call, found, status, PROTOCOL) for call in Call for status in (200, 404, 500)]


@given(st.binary(max_size=300), st.none() | st.text(max_size=60))
def test_bytes_never_raise(body: bytes, content_type: str | None) -> None:
    assert len(judged(body, content_type)) == 12


@given(trees)
def test_json_of_any_shape_never_raises(tree: Any) -> None:
    assert len(judged(json.dumps(tree, ensure_ascii=False).encode(errors="surrogatepass"))) == 12
    assert len(judged(json.dumps(tree).encode())) == 12


@given(documents)
def test_xml_of_any_shape_never_raises(document: str) -> None:
    assert len(judged(document.encode())) == 12


@given(st.lists(st.tuples(names, st.text()), max_size=8))
def test_lines_of_any_content_never_raise(lines: list[tuple[str, str]]) -> None:
    assert len(judged("\n".join(f"{name}={value}" for name, value in lines).encode(errors="replace"))) == 12


SALES = [
    json.dumps({"status": "accepted", "PhoneNumber": NUMBER, "price": "12.50"}).encode(),
    json.dumps({"response": {"call": {"phone_number": NUMBER}}}).encode(),
    f"<r><PhoneNumber>{NUMBER}</PhoneNumber><price>12.50</price></r>".encode(),
    f'<r status="accepted" PhoneNumber="{NUMBER}"/>'.encode(),
]


@given(st.sampled_from(SALES), st.data())
def test_a_sale_that_breaks_off_anywhere_is_no_sale(body: bytes, data: st.DataObject) -> None:
    cut = body[: data.draw(st.integers(0, len(body) - 1))]
    assert all(not isinstance(answer, Sale) for answer in judged(cut))


@given(st.sampled_from(SALES), st.data())
def test_a_sale_with_a_byte_changed_beside_its_number_never_tells_another_number(
    body: bytes, data: st.DataObject
) -> None:
    start = body.index(NUMBER.encode())
    number = range(start, start + len(NUMBER))
    place = data.draw(st.integers(0, len(body) - 1).filter(lambda place: place not in number))
    changed = body[:place] + bytes([data.draw(st.integers(0, 255))]) + body[place + 1 :]
    assert {answer.phone_number for answer in judged(changed) if isinstance(answer, Sale)} <= {NUMBER}


@given(st.decimals(0, 100_000, places=6, allow_nan=False))
def test_a_price_is_read_to_the_last_digit_in_every_format(price: Decimal) -> None:
    expected = Money.of(price)
    for body in (f'{{"price": {price}}}', f'{{"price": "{price}"}}', f"<price>{price}</price>", f"price={price}"):
        assert read(body).price == expected

"""Hostile input: the sandbox refuses it, says nothing personal about it, and lives on."""

from __future__ import annotations

import gzip
import logging
import zlib
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.sandbox.reading import Reading, UnreadableError, read_form, read_json, read_pairs
from ops.sandbox.rulebook import Call, load_rulebook
from ops.sandbox.server import MAX_BODY

FORM = "application/x-www-form-urlencoded"
RULEBOOK = load_rulebook()
ANYTHING = st.dictionaries(st.text(), st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text()))


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (FORM, b"zipcode=%ff%fe"),
        (FORM, b"\xff\xfe\x00"),
        (FORM, b"&".join(b"a%d=%%41" % n for n in range(1000))),
        ("application/json", b""),
        ("application/json", b"[1, 2]"),
        ("application/json", b'{"price": NaN}'),
        ("application/json", b"[" * 50_000),
        ("application/json", b'{"a":' * 10_000),
        ("text/plain", b"zipcode=33139"),
        ("multipart/form-data; boundary=x", b"--x--"),
        ("", b"zipcode=33139"),
    ],
)
def test_a_body_without_readable_fields_is_a_refusal_and_a_violation(sandbox, http, content_type, body):
    """In the default format, with the scenario's code."""
    buyer = sandbox({"invalid_code": 8100})
    answer = http.post(buyer.ping_url, data=body, headers={"Content-Type": content_type}, timeout=10)
    assert answer.text.startswith("status=rejected\nerrorCode=8100\n")
    (violation,) = buyer.book()["violations"]
    assert violation["call"] == "ping"


def test_a_query_string_on_a_post_is_refused_because_addresses_are_logged(sandbox, http, ping_fields):
    """A field in the address of a POST ends in everyone's access log."""
    buyer = sandbox()
    answer = http.post(buyer.ping_url, params={"zipcode": "33139"}, data=ping_fields, timeout=10)
    assert "a query string on a POST" in answer.text


def test_a_field_that_is_sent_twice_is_ill_formed(sandbox, http, ping_fields):
    """Which of the two counts is anyone's guess."""
    buyer = sandbox()
    pairs = [*ping_fields.items(), ("zipcode", "90001")]
    assert http.post(buyer.ping_url, data=pairs, timeout=10).json()["reason"] == "zipcode is ill-formed"
    body = '{"zipcode": "90001", ' + str(ping_fields).replace("'", '"')[1:]
    json_type = {"Content-Type": "application/json"}
    answer = http.post(buyer.ping_url, data=body, headers=json_type, timeout=10)
    assert answer.json()["reason"] == "zipcode is ill-formed"


def test_half_a_character_is_ill_formed(sandbox, http):
    """It must not reach the book's file as a value that nobody can encode."""
    buyer = sandbox()
    headers = {"Content-Type": "application/json"}
    http.post(buyer.ping_url, data=b'{"subid": "\\ud800"}', headers=headers, timeout=10)
    assert ["subid"] in [entry["fields"] for entry in buyer.book()["violations"]]


@pytest.mark.parametrize("declared", [True, False], ids=["content-length", "chunked"])
def test_a_body_over_the_limit_is_413_and_no_call(sandbox, http, declared):
    """Whether its length was announced or not."""
    buyer = sandbox()
    body = b"a=" + b"x" * MAX_BODY
    answer = http.post(
        buyer.ping_url,
        data=body if declared else iter([body]),
        headers={"Content-Type": FORM, "Connection": "close"},
        timeout=10,
    )
    assert answer.status_code == 413
    assert buyer.book()["counts"] == {}


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_compressed_body_is_not_unpacked(sandbox, http, encoding, pack):
    """A few bytes must not become gigabytes."""
    buyer = sandbox()
    headers = {"Content-Type": FORM, "Content-Encoding": encoding}
    answer = http.post(buyer.ping_url, data=pack(b"zipcode=33139"), headers=headers, timeout=10)
    assert "rejected" in answer.text


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET /ping HTTP/9.9\r\n\r\n",
        b"POST /ping HTTP/1.1\r\nHost: b\r\nContent-Length: -1\r\n\r\n",
        b"POST /ping HTTP/1.1\r\nHost: b\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz",
        b"POST /ping HTTP/1.1\r\nHost: b\r\nJohn Doe 8772681223\r\n\r\n",
        b"GET /ping?subid=\xff HTTP/1.1\r\nHost: b\r\n\r\n",
        b"GET /ping?" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: b\r\n\r\n",
        b"POST /ping HTTP/1.1\r\nHost: b\r\nContent-Type: " + FORM.encode() + b"\r\nContent-Length: 99\r\n\r\nzip",
    ],
)
def test_broken_http_neither_stops_the_server_nor_is_quoted_in_a_log(sandbox, connect, seller, caplog, raw):
    """A caller's name in the wrong place must not end in a log line."""
    buyer = sandbox()
    with caplog.at_level(logging.DEBUG):
        connection = connect(buyer)
        connection.sendall(raw)
        connection.shutdown(1)  # nothing more will come
        while connection.recv(65536):
            pass
        assert seller(buyer).ping()["status"] == "accepted"
    ours = [record.getMessage() for record in caplog.records if record.name.startswith(("ops", "aiohttp"))]
    assert [line for line in ours if "John" in line or "8772681223" in line or "zip" in line] == []


def test_what_a_seller_sends_ends_in_no_log_line(sandbox, seller, post_fields, caplog):
    """Not even at debug level."""
    buyer = sandbox()
    with caplog.at_level(logging.DEBUG):
        seller(buyer).sell()
        seller(buyer).send("one_step", {**post_fields, "zipcode": "John Doe"})
    lines = [record.getMessage() for record in caplog.records if record.name.startswith(("ops", "aiohttp", "asyncio"))]
    secrets = [post_fields[name] for name in ("key", "firstname", "lastname", "telephone", "email")]
    assert [line for line in lines if any(secret in line for secret in secrets)] == []


@given(st.binary(max_size=400))
def test_no_bytes_can_do_more_than_be_unreadable(body):
    """Neither as a form nor as JSON."""
    for read in (read_form, read_json):
        try:
            reading = read(body)
        except UnreadableError:
            continue
        assert isinstance(reading, Reading)
        assert all(type(value) is str for value in reading.fields.values())


@given(st.dictionaries(st.text(), st.text(alphabet=st.characters(codec="utf-8")), max_size=20))
def test_fields_come_through_a_form_as_they_were_sent(fields):
    """Escaped or plain, and just as the standard library reads them."""
    encoded = {name.encode(errors="replace").decode(): value for name, value in fields.items()}
    text = urlencode(encoded)
    assert read_pairs(text).fields == encoded == dict(parse_qsl(text, keep_blank_values=True))


@given(ANYTHING)
def test_no_fields_can_make_the_rulebook_fail(fields):
    """Only names of the table are ever kept."""
    texts = {name: str(value) for name, value in fields.items()}
    for call in Call:
        findings = RULEBOOK.forms[call].examine(texts, tuple(fields))
        if findings is not None:
            named = {*findings.missing, *findings.ill_formed, *findings.forbidden}
            assert named <= {*RULEBOOK.forms[call].checks, *RULEBOOK.forms[call].forbidden}


@given(name=st.sampled_from(sorted(RULEBOOK.forms[Call.DIRECT_POST].checks)), value=st.text(max_size=120))
def test_a_single_hostile_value_is_taken_or_named_and_never_more(name, value):
    """One bad field does not hide or harm another."""
    good = {
        "partnerid": "XYZ",
        "key": "k",
        "numcategory": "16001",
        "subid": "1",
        "transfer_type": "1",
        "zipcode": "33139",
        "price": "0.5",
    }
    findings = RULEBOOK.forms[Call.DIRECT_POST].examine({**good, name: value})
    if findings is not None:
        assert {*findings.missing, *findings.ill_formed} == {name}

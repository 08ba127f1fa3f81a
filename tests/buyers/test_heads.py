"""The heads of requests: what is kept of one makes another, and whatever is odd about one is not kept."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.buyers.connections import DeadlineConnection, DeadlineTlsConnection
from tasks.buyers.heads import Heads

HEADERS = {"Accept": "*/*", "Content-Length": "2"}
QUERIES = st.text(alphabet="?&=%abc123", max_size=20)


def written(url: str, query: str, headers: dict[str, str], *, port: int = 8080, tls: bool = False) -> bytes:
    connection = (DeadlineTlsConnection if tls else DeadlineConnection)("buyer.example", port)
    connection.flight = SimpleNamespace(query=query)
    return connection._written("POST", url, headers)


@given(QUERIES, QUERIES, st.binary(max_size=300))
def test_another_head_is_the_one_that_would_have_been_written(first: str, second: str, body: bytes) -> None:
    heads = Heads()
    heads.learn(written("/ping", first, HEADERS), "POST", "/ping", first, HEADERS, b"{}")
    theirs = {**HEADERS, "Content-Length": str(len(body))}
    assert heads.of("POST", "/ping", second, theirs, body) == written("/ping", second, theirs)


@given(QUERIES, QUERIES)
def test_so_is_one_without_a_body(first: str, second: str) -> None:
    heads, headers = Heads(), {"Accept": "*/*"}
    heads.learn(written("/ping", first, headers), "POST", "/ping", first, headers, None)
    assert heads.of("POST", "/ping", second, headers, None) == written("/ping", second, headers)


@pytest.mark.parametrize(
    ("method", "url", "headers", "body"),
    [
        ("GET", "/ping", HEADERS, b""),
        ("POST", "/post", HEADERS, b""),
        ("POST", "/ping", {"Accept": "text/xml", "Content-Length": "0"}, b""),
        ("POST", "/ping", {"Accept": "*/*", "Authorization": "Basic eA==", "Content-Length": "0"}, b""),
        ("POST", "/ping", {"Accept": "*/*"}, None),
    ],
)
def test_a_head_of_another_kind_is_not_made_of_it(
    method: str, url: str, headers: dict[str, str], body: bytes | None
) -> None:
    heads = Heads()
    heads.learn(written("/ping", "", HEADERS), "POST", "/ping", "", HEADERS, b"{}")
    assert heads.of(method, url, "", headers, body) is None


@pytest.mark.parametrize(
    "head", [b"", b"POST /pingpong HTTP/1.1\r\n\r\n", b"POST /ping HTTP/1.1\r\nContent-Length: 3\r\n\r\n"]
)
def test_a_head_that_is_otherwise_than_it_should_be_is_not_kept(head: bytes) -> None:
    heads = Heads()
    heads.learn(head, "POST", "/ping", "", HEADERS, b"{}")
    assert heads.of("POST", "/ping", "", HEADERS, b"{}") is None


@pytest.mark.parametrize(
    ("port", "tls", "host"),
    [(80, False, b"buyer.example"), (443, True, b"buyer.example"), (443, False, b"buyer.example:443")],
)
def test_the_port_that_goes_without_saying_is_not_said(port: int, tls: bool, host: bytes) -> None:
    assert b"\r\nHost: " + host + b"\r\n" in written("/", "", {}, port=port, tls=tls)

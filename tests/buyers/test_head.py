"""The short way through an answer's head means what http.client means by it, whatever a buyer sends."""

from __future__ import annotations

import io
from http.client import HTTPException, HTTPResponse
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.buyers.head import Answer

BODY = b'{"status":"accepted"}'
WORDS = (
    ("Content-Length", ("21", "0", "-1", "+7", "1_0", "9" * 20, "x", "", "21, 21")),
    ("content-length", ("3",)),
    ("Transfer-Encoding", ("chunked", "Chunked", "gzip, chunked", "identity")),
    ("Connection", ("close", "keep-alive", "Keep-Alive, close", "upgrade")),
    ("Keep-Alive", ("timeout=5",)),
    ("Content-Type", ("application/json", "text/html; charset=x", "multipart/mixed", "Message/rfc822", "text/xml")),
    ("Retry-After", ("3",)),
    ("Set-Cookie", ("a=b", "c=d")),
    ("X-Odd", ("  two  blanks  ", "trailing ", "tab\tin", "\xe9", ":", "a\rb", "")),
    ("Bad Name", ("x",)),
    (" Continued", ("line",)),
    ("", ("no name",)),
)
LINES = st.sampled_from(
    [f"{name}:{gap}{value}" for name, values in WORDS for value in values for gap in ("", " ", "\t")]
)
STATUSES = st.sampled_from(
    [
        *("200 OK", "200", "200 ", "200  OK", "200 OK ", "200 \xe9t\xe9", "2x0 OK", "204 No Content", "304 No"),
        *("404 Not Found", "503 ", "100 Go on", "099", "1000 A"),
    ]
)
VERSIONS = st.sampled_from(["HTTP/1.1", "HTTP/1.0", "HTTP/0.9", "HTTP/1.2", "HTTP/2", "http/1.1", ""])
ENDING = (101, 204, 304)  # by choice: nothing is expected behind them
ENDS = st.sampled_from(["\r\n", "\r\n", "\r\n", "\n"])


class Sent:
    """A socket from which bytes come in pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = [piece for piece in pieces if piece]

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Pieces(self._pieces))


class _Pieces(io.RawIOBase):
    def __init__(self, pieces: list[bytes]) -> None:
        self._left = list(pieces)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._left:
            return 0
        piece = self._left.pop(0)
        count = min(len(piece), len(buffer))
        buffer[:count] = piece[:count]
        if piece[count:]:
            self._left.insert(0, piece[count:])
        return count


def means(kind: type[HTTPResponse], *pieces: bytes) -> Any:
    """Tell all that whoever reads an answer may know of it, or how it fails."""
    answer = kind(Sent(*pieces), method="POST")
    try:
        answer.begin()
        head = (
            *(answer.version, answer.status, answer.reason, answer.headers.items()),
            [type(defect) for defect in answer.headers.defects],
            *(bool(answer.chunked), answer.length, answer.will_close or answer.status in ENDING),
            answer.headers.is_multipart() or answer.headers.get_payload() or None,
        )
        return head, answer.read(len(BODY) + 1)
    except (HTTPException, ValueError) as fault:
        return type(fault), str(fault)


@given(
    VERSIONS.filter(bool) | VERSIONS,
    STATUSES,
    st.lists(st.tuples(LINES, ENDS), max_size=6),
    ENDS,
    st.integers(min_value=0, max_value=400),
)
@example("HTTP/1.1", "200 OK", [("Content-Type: text/xml", "\r\n"), ("Content-Length: 21", "\r\n")], "\r\n", 400)
@example("HTTP/1.1", "200 OK", [("Content-Length: 21", "\r\n"), ("Content-Length: 3", "\r\n")], "\r\n", 400)
def test_any_head_means_the_same(version: str, status: str, lines: list[tuple[str, str]], end: str, cut: int) -> None:
    head = f"{version} {status}\r\n{''.join(line + after for line, after in lines)}{end}".encode("latin-1")
    pieces = ((head + BODY)[:cut], (head + BODY)[cut:])
    assert means(Answer, *pieces) == means(HTTPResponse, *pieces)


@given(st.binary(max_size=300))
def test_any_bytes_mean_the_same(come: bytes) -> None:
    assert means(Answer, b"HTTP/1.1 200 OK\r\n" + come) == means(HTTPResponse, b"HTTP/1.1 200 OK\r\n" + come)


@pytest.mark.parametrize("many", [49, 50, 51, 99, 100, 101])
def test_many_headers_mean_the_same(many: int) -> None:
    head = b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % place for place in range(many)) + b"\r\n"
    assert means(Answer, head + BODY) == means(HTTPResponse, head + BODY)


def test_a_plain_head_takes_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else all of the above would hold for a way that nobody goes."""
    monkeypatch.setattr(HTTPResponse, "begin", lambda _: pytest.fail("the long way"))
    head = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
    (_, status, _, headers, *_), body = means(Answer, head + b"2\r\n{}\r\n0\r\n\r\n")
    assert status == 200
    assert ("Connection", "keep-alive") in headers
    assert body == b"{}"


def test_nothing_means_nothing() -> None:
    assert means(Answer) == means(HTTPResponse)


FINAL = b"HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n" + BODY


@pytest.mark.parametrize("cut", [0, 10, 40, 400])
@pytest.mark.parametrize(
    "interim", [b"102 Processing\r\n\r\n", b"103 Early Hints\r\nLink: </x>\r\n\r\n", b"199 A\r\nX: y\r\n\r\n"]
)
def test_what_comes_in_the_interim_is_not_the_answer(interim: bytes, cut: int) -> None:
    come = b"HTTP/1.1 " + interim + b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 " + interim + FINAL
    assert means(Answer, come[:cut], come[cut:]) == means(HTTPResponse, FINAL)


@pytest.mark.parametrize("status", [101, 204, 304])
def test_a_connection_is_over_with_an_answer_that_has_no_body(status: int) -> None:
    answer = Answer(Sent(b"HTTP/1.1 %d X\r\nContent-Length: 21\r\n\r\n" % status + BODY), method="POST")
    answer.begin()
    assert answer.will_close
    assert answer.read(30) == b""

"""The client over real sockets, on its buyer's bad days. What the server does is scripted byte by byte."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tasks.core.bid import Bid
from tasks.core.money import Money
from tasks.core.protocol import Call
from tasks.core.reasons import Unanswered, Unreadable
from tasks.core.sale import Sale
from tests.buyers.calls import BID, LIMIT, POST, SALE, ask
from tests.buyers.conftest import Client, Serve
from tests.buyers.scripted import Conversation, Scripted, answering, http

# Time


def test_headers_that_come_a_byte_at_a_time_are_given_up_at_the_deadline(serve: Serve, client: Client) -> None:
    def play(client: Conversation) -> None:
        client.read()
        client.dribble(b"HTTP/1.1 200 OK\r\nX-Slow: " + b"a" * 50_000, 0.02)

    assert ask(client(serve(play).url), Call.POST, 0.4) == Unanswered("no whole answer within 0.4 s")


def test_a_body_that_comes_a_byte_at_a_time_is_given_up_at_the_deadline(serve: Serve, client: Client) -> None:
    def play(client: Conversation) -> None:
        client.read()
        client.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n")
        client.dribble(b'{"email": "zoe@example.org", "words": "' + b"a" * 50_000, 0.01)

    exchange = client(serve(play).url).ask(Call.POST, POST, 0.6)
    assert exchange.answer == Unanswered("no whole answer within 0.6 s")
    assert exchange.http_status == 200
    assert "zoe" not in exchange.raw


def test_chunks_that_come_a_byte_at_a_time_are_given_up_at_the_deadline(serve: Serve, client: Client) -> None:
    def play(client: Conversation) -> None:
        client.read()
        client.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.dribble(b"1\r\na\r\n" * 10_000, 0.01)

    assert ask(client(serve(play).url), Call.PING, 0.4) == Unanswered("no whole answer within 0.4 s")


def test_a_tls_handshake_that_never_ends_is_no_connection(serve: Serve, client: Client) -> None:
    def play(client: Conversation) -> None:
        client.dribble(b"\x16\x03\x03\x40\x00" + bytes(16_000), 0.02)

    url = serve(play).url.replace("http:", "https:")
    answer = ask(client(url, connect_timeout_s=0.3), Call.POST)
    assert answer == Unanswered("no connection within 0.3 s", never_sent=True)


def test_silence_is_given_up_at_the_deadline(serve: Serve, client: Client) -> None:
    def play(client: Conversation) -> None:
        client.read()
        client.over.wait()

    assert ask(client(serve(play).url), Call.POST, 0.3) == Unanswered("no answer within 0.3 s")


def test_a_call_without_time_is_not_made(serve: Serve, client: Client) -> None:
    play, received = answering(SALE)
    answer = ask(client(serve(play).url), Call.POST, 0)
    assert answer == Unanswered("no connection within 0 s", never_sent=True)
    assert received == []


def test_time_that_runs_out_while_connecting_sends_nothing(serve: Serve, client: Client) -> None:
    play, received = answering(SALE)
    ticks = iter(range(1000))  # each look at the clock is a second later: none are left once there is a connection
    buyer = client(serve(play).url, clock=lambda: float(next(ticks)), connect_timeout_s=60)
    answer = ask(buyer, Call.POST, 5)
    assert isinstance(answer, Unanswered)
    assert answer.never_sent
    assert received == []


def test_a_name_that_does_not_resolve_in_time_is_no_connection(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    numeric = socket.getaddrinfo

    def slow(host: str, port: int, *args: int, flags: int = 0, **options: int) -> object:
        if not flags & socket.AI_NUMERICHOST:
            answered.wait(20)
            raise socket.gaierror(socket.EAI_AGAIN, "slow.example")
        return numeric(host, port, *args, flags=flags, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    answer = ask(client("http://slow.example/buy", connect_timeout_s=0.2), Call.POST)
    answered.set()
    assert answer == Unanswered("the name did not resolve in time", never_sent=True)


def test_a_host_that_swallows_packets_is_no_connection(client: Client, swallowing: int) -> None:
    answer = ask(client(f"http://127.0.0.1:{swallowing}/", connect_timeout_s=0.3), Call.POST)
    assert answer == Unanswered("no connection within 0.3 s", never_sent=True)


def test_a_host_s_second_address_gets_its_share_of_the_time(
    serve: Serve, client: Client, swallowing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    play, _ = answering(SALE)
    port = int(serve(play).url.removesuffix("/buy").rpartition(":")[2])
    addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", to)) for to in (swallowing, port)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
    assert ask(client("http://buyer.example/buy"), Call.POST) == Sale("8005550100")


# Never sent, or sent


def test_a_refused_connection_sent_nothing(client: Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert ask(client(f"http://127.0.0.1:{port}/"), Call.POST) == Unanswered("connection refused", never_sent=True)


def test_a_name_that_does_not_resolve_sent_nothing(client: Client) -> None:
    answer = ask(client("http://no-such-buyer.invalid/buy"), Call.POST)
    assert answer == Unanswered("the name does not resolve", never_sent=True)


def test_a_certificate_that_is_not_trusted_sent_nothing(serve: Serve, client: Client, tls: ssl.SSLContext) -> None:
    play, received = answering(SALE)
    answer = ask(client(serve(play, tls).url), Call.POST)
    assert answer == Unanswered("the certificate is not trusted", never_sent=True)
    assert received == []


def test_plain_http_where_tls_was_due_sent_nothing(serve: Serve, client: Client) -> None:
    def shout(client: Conversation) -> None:
        client.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        client.over.wait()

    url = serve(shout).url.replace("http:", "https:")
    assert ask(client(url), Call.POST) == Unanswered("no TLS connection", never_sent=True)


def test_a_trusted_certificate_sells(
    serve: Serve, client: Client, tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The CA bundle that the environment names is heeded."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    play, received = answering(BID, SALE)
    buyer = client(serve(play, tls).url.replace("127.0.0.1", "localhost"))
    assert ask(buyer, Call.PING) == Bid(Money.parse("12.50"), "t-1")
    assert ask(buyer, Call.POST) == Sale("8005550100")
    assert [request.connection for request in received] == [1, 1]


def test_a_slow_answer_over_tls_is_given_up_at_the_deadline(
    serve: Serve, client: Client, tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))

    def play(client: Conversation) -> None:
        client.read()
        client.dribble(b"HTTP/1.1 200 OK\r\nX-Slow: " + b"a" * 50_000, 0.02)

    assert ask(client(serve(play, tls).url), Call.POST, 0.6) == Unanswered("no whole answer within 0.6 s")


def test_a_connection_closed_before_the_answer_was_sent(serve: Serve, client: Client) -> None:
    def play(client: Conversation) -> None:
        client.read()

    assert ask(client(serve(play).url), Call.POST) == Unanswered("connection closed without an answer")


def test_a_connection_reset_after_the_request_was_sent(serve: Serve, client: Client) -> None:
    def play(client: Conversation) -> None:
        client.read()
        client.reset()

    assert ask(client(serve(play).url), Call.POST) == Unanswered("connection reset")


def test_a_connection_reset_before_the_request_counts_as_sent(serve: Serve, client: Client) -> None:
    """The kernel took the bytes: nobody knows whether they were read."""
    answer = ask(client(serve(Conversation.reset).url), Call.POST)
    assert isinstance(answer, Unanswered)
    if answer.never_sent:  # the reset came before the request's first byte
        assert answer.why == "the connection broke before anything was sent"
    else:
        assert answer.why in ("connection reset", "connection closed without an answer")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b'Content-Length: 60\r\n\r\n{"PhoneNumber":"8005550100"}', Unanswered("answer cut short")),
        (b'Transfer-Encoding: chunked\r\n\r\n1c\r\n{"PhoneNumber":"8005550100"}\r\n', Unanswered("answer cut short")),
        (b"Content-Length: 60\r\n\r\n", Unanswered("answer cut short")),
        (b'Content-Length: 26, x\r\n\r\n{"PhoneNumber":"8005550100"}', Sale("8005550100")),
        (b'Content-Length: 60, 60\r\n\r\n{"PhoneNumber":"8005550100"}', Unanswered("answer cut short")),
        (b'Content-Length: 28, 28\r\n\r\n{"PhoneNumber":"8005550100"}', Sale("8005550100")),
        (b"Content-Le", Unreadable("an empty body")),
    ],
)
def test_an_answer_cut_short_is_no_sale(
    serve: Serve, client: Client, answer: bytes, expected: Unanswered | Unreadable
) -> None:
    def play(client: Conversation) -> None:
        client.read()
        client.send(b"HTTP/1.1 200 OK\r\n" + answer)

    assert ask(client(serve(play).url), Call.POST) == expected


@pytest.mark.parametrize(
    "answer",
    [
        b"220 smtp.example ESMTP\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n" + b"a" * 4096,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnone\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nabcdef",
        b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 twohundred OK\r\n\r\n",
        bytes(range(256)) * 20,
    ],
)
def test_what_is_no_http_is_no_answer(serve: Serve, client: Client, answer: bytes) -> None:
    def play(client: Conversation) -> None:
        client.read()
        client.send(answer)

    heard = ask(client(serve(play).url), Call.POST)
    assert isinstance(heard, Unanswered)
    assert not heard.never_sent
    assert heard.why in ("the answer is no HTTP", "answer cut short", "connection reset")


def test_interim_answers_without_end_are_given_up(serve: Serve, client: Client) -> None:
    def play(client: Conversation) -> None:
        client.read()
        while True:
            client.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)

    assert ask(client(serve(play).url), Call.PING) == Unanswered("more than 1048576 bytes")


# Size


def test_an_answer_of_the_whole_limit_is_read(serve: Serve, client: Client) -> None:
    body = b'{"PhoneNumber":"8005550100"}'
    play, _ = answering(http(body + b" " * (LIMIT - len(body))))
    assert ask(client(serve(play).url), Call.POST) == Sale("8005550100")


def test_an_answer_a_byte_over_the_limit_is_refused(serve: Serve, client: Client) -> None:
    body = b'{"PhoneNumber":"8005550100"}'
    play, _ = answering(http(body + b" " * (LIMIT + 1 - len(body))))
    assert ask(client(serve(play).url), Call.POST) == Unreadable("longer than 65536 bytes")


def test_a_body_without_end_is_cut_off(serve: Serve, client: Client) -> None:
    def play(client: Conversation) -> None:
        client.read()
        client.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            client.send(b"1000\r\n" + b"a" * 4096 + b"\r\n")

    exchange = client(serve(play).url).ask(Call.POST, POST, 10)
    assert exchange.answer == Unreadable("longer than 65536 bytes")
    assert len(exchange.raw) <= 4000


def test_a_hundred_megabytes_are_not_fetched(serve: Serve, client: Client) -> None:
    sent = 0

    def play(client: Conversation) -> None:
        nonlocal sent
        client.read()
        client.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        for _ in range(1000):
            client.send(b"a" * 100_000)
            sent += 100_000

    server = serve(play)
    assert ask(client(server.url), Call.POST) == Unreadable("longer than 65536 bytes")
    assert server.gone.acquire(timeout=20)
    assert sent < 50_000_000


def test_after_an_answer_that_was_cut_off_the_next_call_has_a_connection_of_its_own(
    serve: Serve, client: Client
) -> None:
    play, received = answering(http(b"a" * 100_000), BID)
    buyer = client(serve(play).url)
    assert ask(buyer, Call.PING) == Unreadable("longer than 65536 bytes")
    assert ask(buyer, Call.PING) == Bid(Money.parse("12.50"), "t-1")
    assert [request.connection for request in received] == [1, 2]


# Compression


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw deflate"])
def test_a_compressed_answer_is_read_though_none_was_asked_for(serve: Serve, client: Client, encoding: str) -> None:
    body = b'{"PhoneNumber":"8005550100"}'
    raw = zlib.compressobj(wbits=-15)
    packed = {
        "gzip": gzip.compress(body),
        "deflate": zlib.compress(body),
        "raw deflate": raw.compress(body) + raw.flush(),
    }
    play, received = answering(http(packed[encoding], Content_Encoding=encoding.removeprefix("raw ")))
    assert ask(client(serve(play).url), Call.POST) == Sale("8005550100")
    assert received[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("body", "encoding", "why"),
    [
        (gzip.compress(bytes(50_000_000)), "gzip", "longer than 65536 bytes"),
        (gzip.compress(b'{"PhoneNumber":"8005550100"}')[:-12], "gzip", "a compressed body that cannot be read"),
        (b"no gzip at all", "gzip", "a compressed body that cannot be read"),
        (b"whatever", "br", "a content encoding that was not asked for"),
        (gzip.compress(gzip.compress(b"{}")), "gzip, gzip", "a content encoding that was not asked for"),
    ],
)
def test_a_compressed_answer_that_cannot_be_had_is_unreadable(
    serve: Serve, client: Client, body: bytes, encoding: str, why: str
) -> None:
    play, _ = answering(http(body, Content_Encoding=encoding))
    assert ask(client(serve(play).url), Call.POST) == Unreadable(why)


@pytest.fixture
def swallowing() -> Iterator[int]:
    """A port that neither accepts nor refuses: its queue is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def test_the_server_of_these_tests_answers_as_scripted(serve: Serve) -> None:
    """The fixture itself: two answers in turn on one connection."""
    play, received = answering(BID, SALE)
    server: Scripted = serve(play)
    host, port = server.url.removeprefix("http://").removesuffix("/buy").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        for expected in (BID, SALE):
            connection.sendall(b"GET /buy?a=1 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(65536) == expected
    assert [request.fields for request in received] == [{"a": "1"}, {"a": "1"}]

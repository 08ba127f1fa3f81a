"""The client over real sockets, on its buyer's bad days. What the server does is scripted byte by byte."""

from __future__ import annotations

import gzip
import json
import logging
import os
import socket
import ssl
import subprocess
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.buyers.http import BuyerConfig, EndpointMissing, HttpBuyer
from tasks.buyers.mapping import AnswerMapping
from tasks.buyers.port import Offer
from tasks.core.bid import Bid
from tasks.core.money import Money
from tasks.core.protocol import Call, Protocol
from tasks.core.reasons import Refusal, Unanswered, Unreadable
from tasks.core.sale import Sale
from tests.buyers.conftest import Client, Serve
from tests.buyers.scripted import Conversation, Scripted, answering, http
from tests.buyers.stories import KEY

LEAD = {"numcategory": "16001", "subid": "123", "transfer_type": "1", "zipcode": "33139"}
CALLER = {"firstname": "Zoë", "lastname": "Brontë", "telephone": "(877) 268-1223", "email": "zoe@example.org"}
PING = Offer(LEAD, "lead-1")
POST = Offer({**LEAD, **CALLER}, "lead-1", token="t-1")
BID = http(b'{"status":"accepted","price":"12.50","token":"t-1"}')
SALE = http(b'{"PhoneNumber":"8005550100"}')
LIMIT = 65536


def ask(buyer: HttpBuyer, call: Call, timeout_s: float = 10) -> object:
    return buyer.ask(call, PING if call is Call.PING else POST, timeout_s).answer


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


# Connections


def test_pings_one_after_the_other_share_a_connection(serve: Serve, client: Client) -> None:
    play, received = answering(BID)
    clock = Clock()
    buyer = client(serve(play).url, clock=clock)
    for idle_s in (0, 2, 29):
        clock.ahead += idle_s
        ask(buyer, Call.PING)
    assert [request.connection for request in received] == [1, 1, 1]


def test_a_ping_after_half_a_minute_gets_a_fresh_connection(serve: Serve, client: Client) -> None:
    play, received = answering(BID)
    clock = Clock()
    buyer = client(serve(play).url, clock=clock)
    ask(buyer, Call.PING)
    clock.ahead += 30.1
    ask(buyer, Call.PING)
    assert [request.connection for request in received] == [1, 2]


@pytest.mark.parametrize(("idle_s", "connection"), [(0, 1), (1.5, 1), (2.1, 2)])
def test_a_post_goes_out_on_a_connection_used_within_two_seconds_or_on_a_fresh_one(
    serve: Serve, client: Client, idle_s: float, connection: int
) -> None:
    play, received = answering(BID, SALE)
    clock = Clock()
    buyer = client(serve(play).url, clock=clock)
    ask(buyer, Call.PING)
    clock.ahead += idle_s
    assert ask(buyer, Call.POST) == Sale("8005550100")
    assert [request.connection for request in received] == [1, connection]


def test_a_connection_that_the_buyer_closed_while_idle_is_not_used(serve: Serve, client: Client) -> None:
    def play(client: Conversation) -> None:
        client.read()
        client.send(BID if client.number == 1 else SALE)

    server = serve(play)
    buyer = client(server.url)
    ask(buyer, Call.PING)
    assert server.gone.acquire(timeout=20)
    assert ask(buyer, Call.POST) == Sale("8005550100")
    assert server.connections == 2


def test_a_reused_connection_that_closes_on_the_request_counts_as_sent(serve: Serve, client: Client) -> None:
    def play(client: Conversation) -> None:
        client.read()
        client.send(BID)
        client.read()

    buyer = client(serve(play).url)
    ask(buyer, Call.PING)
    assert ask(buyer, Call.POST) == Unanswered("connection closed without an answer")


def test_threads_have_connections_of_their_own(serve: Serve, client: Client) -> None:
    play, received = answering(BID)
    buyer = client(serve(play).url)
    threads = [threading.Thread(target=ask, args=(buyer, Call.PING)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(request.connection for request in received) == [1, 2, 3, 4]


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_does_not_speak_on_its_parent_s_connection(serve: Serve, client: Client) -> None:
    play, received = answering(BID)
    buyer = client(serve(play).url)
    ask(buyer, Call.PING)
    child = os.fork()
    if child == 0:
        os._exit(0 if isinstance(ask(buyer, Call.PING), Bid) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    ask(buyer, Call.PING)
    assert [request.connection for request in received] == [1, 2, 1]


def test_after_close_a_call_opens_a_new_connection(serve: Serve, client: Client) -> None:
    play, received = answering(BID)
    buyer = client(serve(play).url)
    ask(buyer, Call.PING)
    buyer.close()
    ask(buyer, Call.PING)
    assert [request.connection for request in received] == [1, 2]


# What is sent, and what is not


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(serve: Serve, client: Client, status: int) -> None:
    play, received = answering(http(b"", status, Location="/elsewhere"))
    answer = ask(client(serve(play).url), Call.POST)
    assert answer == Unreadable(f"a redirect (HTTP {status})")
    assert len(received) == 1


def test_cookies_are_not_sent_back(serve: Serve, client: Client) -> None:
    play, received = answering(http(b'{"price":1,"token":"t"}', Set_Cookie="lead=1"))
    buyer = client(serve(play).url)
    ask(buyer, Call.PING)
    ask(buyer, Call.PING)
    assert "cookie" not in received[1].headers


@pytest.mark.parametrize("method", ["form", "json", "get"])
def test_an_endpoint_s_own_query_and_credentials_are_kept(serve: Serve, client: Client, method: str) -> None:
    play, received = answering(SALE)
    url = serve(play).url.replace("//", "//user:pass@") + "?route=7#part"
    assert ask(client(url, method=method), Call.POST) == Sale("8005550100")
    assert received[0].target.startswith("/buy?route=7")
    assert received[0].headers["authorization"] == "Basic dXNlcjpwYXNz"
    assert "user" not in received[0].headers["host"]


def test_a_proxy_of_the_environment_is_used(serve: Serve, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    play, received = answering(SALE)
    monkeypatch.setenv("http_proxy", serve(play).url)
    assert ask(client("http://buyer.example/buy", method="get"), Call.POST) == Sale("8005550100")
    assert received[0].target.startswith("http://buyer.example/buy?partnerid=")


def test_a_proxy_that_refuses_the_tunnel_was_told_nothing_of_the_lead(
    serve: Serve, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    play, received = answering(http(b"", 403))
    monkeypatch.setenv("https_proxy", serve(play).url)
    answer = ask(client("https://buyer.example/buy", method="get"), Call.POST)
    assert answer == Unanswered("the connection broke before anything was sent", never_sent=True)
    assert [(request.method, request.target) for request in received] == [("CONNECT", "buyer.example:443")]


def test_a_socks_proxy_is_not_silently_passed_by(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:1")
    answer = ask(client("http://127.0.0.1:2/buy"), Call.POST)
    assert answer == Unanswered("nothing was sent (InvalidSchema)", never_sent=True)


def test_a_call_without_an_endpoint_names_the_variable(protocol: Protocol, mapping: AnswerMapping) -> None:
    buyer = HttpBuyer(protocol, mapping, BuyerConfig("XYZ", KEY, {Call.PING: None}))
    with pytest.raises(EndpointMissing, match="PINGPOST_PING_URL"):
        buyer.ask(Call.PING, PING, 1)
    with pytest.raises(EndpointMissing, match="PINGPOST_DIRECT_POST_URL"):
        buyer.ask(Call.DIRECT_POST, PING, 1)


def test_a_post_without_a_token_is_not_sent(serve: Serve, client: Client) -> None:
    play, received = answering(SALE)
    with pytest.raises(ValueError, match="a post needs a token"):
        client(serve(play).url).ask(Call.POST, PING, 1)
    assert received == []


# What is kept


@pytest.mark.parametrize("token", [KEY, f"x{KEY}x", "8772681223", "1-877-268-1223", "ZOE@Example.org"])
def test_a_token_that_is_the_key_or_the_caller_is_no_token(serve: Serve, client: Client, token: str) -> None:
    """Tokens are logged and kept for good. A bid without one is none; a number to forward to is a sale all the same."""
    bid, _ = answering(http(json.dumps({"status": "ok", "price": "9.50", "token": token, "duration": 60}).encode()))
    exchange = client(serve(bid).url).ask(Call.PING, POST, 10)
    assert exchange.answer == Unreadable("the token is what it was told")

    sold = {"status": "ok", "price": "9.50", "token": token, "PhoneNumber": "8005550100"}
    sale, _ = answering(http(json.dumps(sold).encode()))
    exchange = client(serve(sale).url).ask(Call.ONE_STEP, POST, 10)
    assert isinstance(exchange.answer, Sale)
    assert (exchange.answer.token, exchange.answer.phone_number) == (None, "8005550100")


def test_what_is_kept_of_an_exchange_holds_neither_key_nor_caller(serve: Serve, client: Client) -> None:
    echo = '{"status":"rejected","reason":"ZOE BRONTË (877-268-1223) is a duplicate","n":"Zo\\u00eb","k":"' + KEY + '"}'
    play, _ = answering(http(echo.encode()))
    exchange = client(serve(play).url).ask(Call.POST, POST, 10)
    assert exchange.answer == Refusal(None, "*** *** (***) is a duplicate")
    kept = f"{replace(exchange, duration_ms=0)!r}".lower()  # whose digits may be any
    for secret in (KEY, "zo", "bront", "268", "example.org"):
        assert secret not in kept
    assert exchange.request == {
        "partnerid": "XYZ",
        "key": "***",
        "numcategory": "16001",
        "subid": "123",
        "resptype": "JSON",
        "price_tag": "1",
        "token": "t-1",
        "transfer_type": "1",
        "zipcode": "33139",
        "firstname": "***",
        "lastname": "***",
        "telephone": "***",
        "email": "***",
        "customid": "lead-1",
    }


def test_a_long_reason_and_a_long_answer_are_cut(serve: Serve, client: Client) -> None:
    play, _ = answering(http(b'{"status":"rejected","reason":"%s"}' % (b"no " * 5000)))
    exchange = client(serve(play).url).ask(Call.POST, POST, 10)
    assert isinstance(exchange.answer, Refusal)
    assert len(exchange.answer.reason or "") == 500
    assert len(exchange.raw) == 4000


@pytest.mark.parametrize("answer", [SALE, http(b"x", 500), http(b"", 302, Location="/x"), b"nonsense\r\n\r\n", b""])
def test_no_library_is_shown_a_key_or_a_caller(
    serve: Serve, client: Client, caplog: pytest.LogCaptureFixture, answer: bytes
) -> None:
    """Even with every logger open, and on a GET, whose URL holds it all."""
    caplog.set_level(logging.DEBUG)
    malformed = answer.replace(b"Content-Type:", b"Bad Header\r\nContent-Type:")

    def play(client: Conversation) -> None:
        client.read()
        client.send(malformed)

    buyer = client(serve(play).url + "?secret=s3cr3t", method="get")
    ask(buyer, Call.POST)
    shown = " ".join(f"{record.getMessage()} {record.exc_text}" for record in caplog.records)
    assert caplog.records
    for secret in (KEY, "Bront", "s3cr3t", "partnerid"):
        assert secret not in shown + repr(buyer)


def test_a_configuration_s_repr_holds_no_key() -> None:
    config = BuyerConfig("XYZ", KEY, {Call.PING: "http://127.0.0.1/?secret=s3cr3t"})
    assert KEY not in repr(config)
    assert "s3cr3t" not in repr(config)


@pytest.mark.parametrize(("header", "expected"), [("30", 30.0), ("0.5", 0.5), ("99999999", 86400.0), ("soon", None)])
def test_a_retry_after_is_kept_with_a_refusal(
    serve: Serve, client: Client, header: str, expected: float | None
) -> None:
    play, _ = answering(http(b'{"errorCode":1000}', 503, Retry_After=header))
    assert ask(client(serve(play).url), Call.PING) == Refusal(1000, None, expected)


class Clock:
    """The monotonic clock, put ahead."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of localhost, signed by itself."""
    folder = tmp_path_factory.mktemp("tls")
    path = folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "2"]
    subprocess.run([*command, "-keyout", folder / "key.pem", "-out", path], check=True, capture_output=True)
    return path


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


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.parent / "key.pem")
    return context


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

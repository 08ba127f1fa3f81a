"""What the client sends, what it does not, and what is kept of an exchange."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import pytest

from tasks.buyers.http import BuyerConfig, EndpointMissing, HttpBuyer
from tasks.buyers.mapping import AnswerMapping
from tasks.core.protocol import Call, Protocol
from tasks.core.reasons import Refusal, Unanswered, Unreadable
from tasks.core.sale import Sale
from tests.buyers.calls import PING, POST, SALE, ask
from tests.buyers.conftest import Client, Serve
from tests.buyers.scripted import Conversation, answering, http
from tests.buyers.stories import KEY

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

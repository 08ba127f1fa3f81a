"""The client's connections: which call goes out on a used one, and what becomes of those that close."""

from __future__ import annotations

import os
import ssl
import threading
import time
from pathlib import Path

import pytest

from tasks.buyers import flight
from tasks.core.bid import Bid
from tasks.core.protocol import Call
from tasks.core.reasons import Unanswered
from tasks.core.sale import Sale
from tests.buyers.calls import BID, SALE, ask
from tests.buyers.conftest import Client, Serve
from tests.buyers.scripted import PATIENCE_S, Conversation, answering, http


class Clock:
    """The monotonic clock, put ahead."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


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


@pytest.mark.parametrize("method", ["form", "json", "get"])
@pytest.mark.parametrize("path", ["/ping", "", "/a/../b%2fc/%7ed/é ü;x=1?q=%zz&r=a b", "//x"])
def test_a_connection_that_stands_is_sent_what_urllib3_sends_on_a_new_one(
    serve: Serve, client: Client, method: str, path: str
) -> None:
    """The library's way for the first call, ours for the second: a buyer cannot tell them apart."""
    play, received = answering(BID)
    buyer = client(f"{serve(play).url.replace('http://', 'http://user:pass@')}{path}", method=method)
    for _ in range(2):
        assert isinstance(ask(buyer, Call.PING), Bid)
    first, second = received
    assert first == second
    assert list(first.headers) == list(second.headers)


@pytest.mark.parametrize("standing", [False, True])
def test_an_answer_in_the_interim_is_not_heard_as_the_answer_nor_the_answer_as_the_next_one(
    serve: Serve, client: Client, standing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one caller would be forwarded to the number that was meant for another."""
    hinted, asked_for_more = threading.Event(), threading.Event()
    read = flight._Incoming.readinto

    def readinto(incoming: flight._Incoming, buffer: memoryview) -> int | None:
        if hinted.is_set() and incoming._flight.received:
            asked_for_more.set()
        return read(incoming, buffer)

    monkeypatch.setattr(flight._Incoming, "readinto", readinto)

    def play(client: Conversation) -> None:
        if standing:
            client.read()
            client.send(BID)
        client.read()
        hinted.set()
        client.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        assert asked_for_more.wait(PATIENCE_S), "the hint was taken for the answer"
        client.send(SALE)
        client.read()
        client.send(http(b'{"PhoneNumber":"8005550199"}'))

    buyer = client(serve(play).url)
    if standing:
        ask(buyer, Call.PING)
    assert ask(buyer, Call.POST) == Sale("8005550100")
    assert ask(buyer, Call.POST) == Sale("8005550199")


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("length", [200, 8192])  # the second one fills what is read at a time
def test_what_comes_behind_an_answer_is_not_the_next_one(
    serve: Serve,
    client: Client,
    tls: ssl.SSLContext,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    length: int,
    encrypted: bool,
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    body = b'{"PhoneNumber":"8005550100"}'
    answer = http(body + b" " * (length - len(http(body))))
    answer = http(body + b" " * (length - len(http(body)) - (len(answer) - length)))
    assert len(answer) == length

    def play(client: Conversation) -> None:
        client.read()
        if client.number == 1:
            client.send(answer + http(b'{"PhoneNumber":"8005550166"}'))
            client.read()
        client.send(SALE)

    server = serve(play, tls if encrypted else None)
    buyer = client(server.url)
    assert [ask(buyer, Call.POST) for _ in range(2)] == [Sale("8005550100")] * 2
    assert server.connections == 2

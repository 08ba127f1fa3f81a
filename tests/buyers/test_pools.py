"""Which connection a call takes: the one that stands, else whatever urllib3 makes."""

from __future__ import annotations

from queue import Empty, Full

import pytest
from urllib3.exceptions import ClosedPoolError

from tasks.buyers.pools import DeadlinePool, _Shelf
from tasks.core.bid import Bid
from tasks.core.protocol import Call
from tasks.core.reasons import Unanswered
from tests.buyers.calls import BID, ask
from tests.buyers.conftest import Client, Serve
from tests.buyers.scripted import Conversation, answering
from tests.buyers.test_http_connections import Clock


def test_a_shelf_gives_what_was_put_last_and_has_room_for_so_many() -> None:
    shelf = _Shelf(2)
    for connection in ("first", "second"):
        shelf.put(connection)
    assert shelf.qsize() == 2
    with pytest.raises(Full):
        shelf.put("third")
    assert [shelf.get(), shelf.get(block=False)] == ["second", "first"]
    with pytest.raises(Empty):
        shelf.get()


def test_a_pool_that_is_closed_makes_no_call() -> None:
    pool = DeadlinePool("127.0.0.1", 1)
    pool.close()
    with pytest.raises(ClosedPoolError):
        pool.urlopen("GET", "/")


def test_after_a_call_that_broke_the_next_one_has_a_fresh_connection(serve: Serve, client: Client) -> None:
    def play(client: Conversation) -> None:
        client.read()
        client.send(BID)
        if client.number > 1:
            client.read()
            client.send(BID)
        else:
            client.read()
            client.reset()

    server = serve(play)
    buyer = client(server.url)
    assert isinstance(ask(buyer, Call.PING), Bid)
    assert isinstance(ask(buyer, Call.PING), Unanswered)
    assert [isinstance(ask(buyer, Call.PING), Bid) for _ in range(2)] == [True, True]
    assert server.connections == 2


@pytest.mark.parametrize(("idle_s", "connection"), [(0, 1), (29, 1), (30.1, 2)])
def test_a_proxy_s_connection_is_kept_as_long_as_a_buyer_s(
    serve: Serve, client: Client, monkeypatch: pytest.MonkeyPatch, idle_s: float, connection: int
) -> None:
    play, received = answering(BID)
    monkeypatch.setenv("HTTP_PROXY", serve(play).url.replace("http://", "http://user:pass@"))
    monkeypatch.setenv("NO_PROXY", "")
    clock = Clock()
    buyer = client("http://buyer.example/ping", clock=clock)
    ask(buyer, Call.PING)
    clock.ahead += idle_s
    ask(buyer, Call.PING)
    assert [request.connection for request in received] == [1, connection]
    assert [request.target for request in received] == ["http://buyer.example/ping"] * 2
    assert received[0].headers == received[1].headers
    assert "proxy-authorization" in received[1].headers

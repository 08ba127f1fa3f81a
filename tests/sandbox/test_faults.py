"""Every fault of a scenario, seen from a raw socket or from requests, and what each leaves in the book."""

from __future__ import annotations

import json
import socket

import pytest
import requests

from ops.sandbox import Fault
from ops.sandbox.wire import GARBAGE

FORM = "application/x-www-form-urlencoded"


def sent(connection: socket.socket, path: str, fields: dict[str, str]) -> None:
    body = requests.Request("POST", "http://buyer/", data=fields).prepare().body
    head = f"POST {path} HTTP/1.1\r\nHost: buyer\r\nContent-Type: {FORM}\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body.encode())


def received(connection: socket.socket) -> bytes:
    """All bytes until the buyer closes."""
    pieces = []
    while piece := connection.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def faulty(fault: str, **more) -> dict:
    return {"rules": [{"fault": fault, **more}]}


@pytest.mark.parametrize("path", ["/ping", "/one_step"])
def test_reset_throws_the_connection_away_without_an_answer_or_a_sale(sandbox, connect, ping_fields, post_fields, path):
    """RST, not an orderly close."""
    buyer = sandbox(faulty("reset"))
    connection = connect(buyer)
    sent(connection, path, ping_fields if path == "/ping" else post_fields)
    with pytest.raises(ConnectionResetError):
        received(connection)
    report = buyer.book()
    assert report["faults"] == {"reset": 1}
    assert (report["sales"], report["bids"]) == ([], 0)


def test_hang_answers_nothing_until_the_seller_leaves(sandbox, connect, ping_fields, seller):
    """The call stands in the book at once; others are served meanwhile."""
    buyer = sandbox(faulty("hang", zipcode="33139"))
    connection = connect(buyer)
    sent(connection, "/ping", ping_fields)
    buyer.wait_for(lambda book: book["faults"] == {"hang": 1})
    connection.settimeout(0.05)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    assert seller(buyer).ping(zipcode="90001")["status"] == "accepted"


def test_a_stop_lets_go_of_a_call_that_hangs(sandbox, connect, ping_fields):
    """So that no test waits for the end of a fault."""
    buyer = sandbox(faulty("hang"))
    connection = connect(buyer)
    sent(connection, "/ping", ping_fields)
    buyer.wait_for(lambda book: book["faults"] == {"hang": 1})
    buyer.stop()
    with pytest.raises(ConnectionResetError):
        received(connection)


def test_cut_announces_more_than_it_sends_after_the_sale(sandbox, connect, post_fields):
    """Content-Length is larger than the body, and the sale stands."""
    buyer = sandbox(faulty("cut"))
    connection = connect(buyer)
    sent(connection, "/one_step", post_fields)
    head, _, body = received(connection).partition(b"\r\n\r\n")
    announced = int(head.lower().partition(b"content-length: ")[2].split()[0])
    assert 0 < len(body) < announced
    assert len(buyer.book()["sales"]) == 1


def test_http_500_is_an_error_page_and_no_sale(sandbox, seller, post_fields):
    """The buyer broke before it decided."""
    buyer = sandbox(faulty("http_500"))
    assert seller(buyer).send("one_step", post_fields).status_code == 500
    assert buyer.book()["sales"] == []


def test_garbage_is_a_body_that_nobody_can_read(sandbox, seller, ping_fields):
    """It calls itself JSON and is not even text."""
    answer = seller(sandbox(faulty("garbage"))).send("ping", ping_fields)
    assert (answer.status_code, answer.content) == (200, GARBAGE)
    with pytest.raises(UnicodeDecodeError):
        answer.content.decode()


def test_slow_sends_a_good_answer_in_single_bytes(sandbox, connect, ping_fields):
    """Whole in the end, in many pieces."""
    buyer = sandbox(faulty("slow", pause_ms=1))
    connection = connect(buyer)
    sent(connection, "/ping", ping_fields)
    answer, pieces = b"", 0
    while not answer.endswith(b"}"):
        answer += connection.recv(65536)
        pieces += 1
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == "accepted"
    assert pieces > 3


def test_endless_never_ends(sandbox, connect, ping_fields):
    """More than any limit of the seller's, and still coming; the server lives on when the seller hangs up."""
    buyer = sandbox(faulty("endless", first=1))
    connection = connect(buyer)
    sent(connection, "/ping", ping_fields)
    got = 0
    while got < 1024 * 1024:
        piece = connection.recv(65536)
        assert piece
        got += len(piece)
    connection.close()
    after = connect(buyer)
    sent(after, "/ping", ping_fields)
    assert after.recv(65536).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("followed", [False, True])
def test_a_redirect_that_is_followed_is_a_violation(sandbox, http, ping_fields, followed):
    """Not following it is none."""
    buyer = sandbox(faulty("redirect"))
    answer = http.post(buyer.ping_url, data=ping_fields, allow_redirects=followed, timeout=10)
    assert answer.status_code == (200 if followed else 302)
    assert [entry["what"] for entry in buyer.book()["violations"]] == ["followed a redirect"] * followed


def test_html_is_a_maintenance_page_with_200(sandbox, seller, ping_fields):
    """No code, no JSON: nothing to take for an answer."""
    answer = seller(sandbox(faulty("html"))).send("ping", ping_fields)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html")
    assert "back soon" in answer.text


def test_drop_after_sale_books_the_sale_and_resets(sandbox, connect, seller, post_fields):
    """The dangerous one: the seller cannot know."""
    buyer = sandbox(faulty("drop_after_sale", call="post"))
    token = seller(buyer).ping()["token"]
    connection = connect(buyer)
    sent(connection, "/post", {**post_fields, "token": token})
    with pytest.raises(ConnectionResetError):
        received(connection)
    report = buyer.book(tokens=True)
    assert [sale["token"] for sale in report["sales"]] == [token]
    assert report["tokens"][token]["state"] == "sold"


def test_late_sale_books_the_sale_before_the_seller_s_patience_ends(sandbox, connect, post_fields):
    """The answer comes when it comes; a stop brings it forward."""
    buyer = sandbox(faulty("late_sale", pause_ms=60_000))
    connection = connect(buyer)
    sent(connection, "/one_step", post_fields)
    report = buyer.wait_for(lambda book: book["faults"] == {"late_sale": 1})
    assert len(report["sales"]) == 1
    connection.settimeout(0.05)
    with pytest.raises(TimeoutError):
        connection.recv(1)


def test_late_sale_answers_in_the_end(sandbox, seller, post_fields):
    """With the number of the sale."""
    buyer = sandbox(faulty("late_sale", pause_ms=1))
    answer = seller(buyer).send("one_step", post_fields).json()
    assert answer["PhoneNumber"] == buyer.book()["sales"][0]["phone_number"]


@pytest.mark.parametrize("fault", Fault)
def test_a_fault_sells_as_its_kind_says(sandbox, http, post_fields, fault):
    """Those before the buyer's decision leave no sale; those after it leave one, whatever the seller sees."""
    buyer = sandbox(faulty(fault, pause_ms=1))
    patience = 0.3 if fault is Fault.HANG else 10
    try:
        answer = http.post(buyer.one_step_url, data=post_fields, timeout=patience, stream=True, allow_redirects=False)
        answer.close()
    except requests.RequestException as left:
        assert fault in {Fault.RESET, Fault.HANG, Fault.DROP_AFTER_SALE}, left  # noqa: PT017  # the others answer
    assert len(buyer.book()["sales"]) == fault.sells


@pytest.mark.parametrize("sells", [True, False])
def test_a_rule_may_say_whether_its_fault_sells(sandbox, http, post_fields, sells):
    """An http_500 after the sale is as possible as one before."""
    buyer = sandbox(faulty("http_500", sells=sells))
    assert http.post(buyer.one_step_url, data=post_fields, timeout=10).status_code == 500
    assert len(buyer.book()["sales"]) == sells


def test_a_code_may_come_with_an_http_status_and_a_wait(sandbox, seller, ping_fields):
    """Buyers of this kind answer 200 as a rule; this one may differ."""
    rule = {"code": 1100, "http_status": 429, "retry_after_s": 2.5}
    answer = seller(sandbox({"rules": [rule]})).send("ping", ping_fields)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "2.5")
    assert answer.json()["errorCode"] == 1100

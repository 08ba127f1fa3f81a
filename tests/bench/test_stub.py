"""The stub buyer over real sockets: it answers every call in its time, and counts the posts."""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

import pytest
import requests

from ops.bench.buyer import Stalled, buyer
from ops.bench.machine import stub_speed

FIELDS = {"lead_id": "L-1", "subid": "123"}


def test_every_ping_gets_a_bid_and_every_post_a_number_over_one_connection():
    with buyer() as stub, requests.Session() as session:
        bid = session.post(f"{stub.url}/ping", data=FIELDS, timeout=5).json()
        sale = session.post(f"{stub.url}/post", data={**FIELDS, "token": bid["token"]}, timeout=5).json()
        assert (bid["status"], bid["price"]) == ("accepted", "12.50")
        assert sale["PhoneNumber"] == "+18005550199"


def test_tokens_differ():
    with buyer() as stub, requests.Session() as session:
        tokens = {session.post(f"{stub.url}/ping", data=FIELDS, timeout=5).json()["token"] for _ in range(20)}
        assert len(tokens) == 20


def test_a_request_in_pieces_is_answered_once_it_is_whole():
    """The stub has one thread: when it has answered two others since, it has read the first piece."""
    head = b"POST /post HTTP/1.1\r\nHost: stub\r\nContent-Length: 11\r\n\r\n"
    with buyer() as stub, requests.Session() as other:
        to = urlsplit(stub.url)
        with socket.create_connection((to.hostname, to.port), timeout=5) as slow:
            slow.sendall(head + b"lead_id=")
            for _ in range(2):
                other.post(f"{stub.url}/ping", data=FIELDS, timeout=5)
            assert stub.counts()[0] == 0, "half a post is none"
            slow.sendall(b"L-1")
            assert b'"status":"accepted"' in slow.recv(4096)
        assert stub.counts()[0] == 1


def test_posts_alone_are_counted_and_the_last_answer_s_time_is_told():
    with buyer() as stub, requests.Session() as session:
        assert stub.counts() == (0, 0.0)
        session.post(f"{stub.url}/ping", data=FIELDS, timeout=5)
        before = time.monotonic()
        session.post(f"{stub.url}/post", data=FIELDS, timeout=5)
        posts, last_at = stub.counts()
        assert posts == 1
        assert before <= last_at <= time.monotonic()
        assert stub.wait_for(1, within_s=1) == last_at


def test_who_waits_for_more_posts_than_come_hears_how_many_came():
    with buyer() as stub, pytest.raises(Stalled, match="0 of 3 posts"):
        stub.wait_for(3, within_s=0.05)


@pytest.mark.parametrize(("subid", "least_s", "most_s"), [("123", 0.03, 0.25), ("slow", 0.3, 2)])
def test_an_answer_takes_its_time_and_a_slow_lead_s_longer(subid, least_s, most_s):
    with buyer(latency_ms=30, slow_ms=300) as stub:
        began = time.monotonic()
        requests.post(f"{stub.url}/ping", data={"subid": subid}, timeout=5)
        assert least_s <= time.monotonic() - began < most_s


def test_its_own_speed_can_be_told():
    with buyer() as stub:
        assert stub_speed(stub, 3200) > 0

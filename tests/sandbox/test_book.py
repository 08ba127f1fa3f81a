"""Tokens, once; and the book that tests and the demo compare the ledger with."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest

from ops.sandbox.book import Book


def test_a_token_is_sold_once_and_a_second_post_of_it_is_a_double(sandbox, seller):
    """Refused, kept, and no second sale."""
    buyer = sandbox()
    deals = seller(buyer)
    token = deals.ping()["token"]
    assert deals.post(token)["status"] == "accepted"
    assert deals.post(token) == {"status": "rejected", "errorCode": 5000, "reason": "Token already used"}
    report = buyer.book(tokens=True)
    assert [(entry["token"], entry["what"]) for entry in report["doubles"]] == [(token, "posted again after: sold")]
    assert report["repeats"] == report["doubles"]
    assert len(report["sales"]) == 1
    assert report["tokens"][token] == {"state": "sold", "posts": 2, "price": "9.50"}


def test_a_double_may_be_answered_with_the_same_sale(sandbox, seller):
    """The page does not say which; the book complains all the same."""
    buyer = sandbox({"repeated_post": "same_sale"})
    deals = seller(buyer)
    token = deals.ping()["token"]
    first, second = deals.post(token), deals.post(token)
    assert first["PhoneNumber"] == second["PhoneNumber"]
    assert len(buyer.book()["sales"]) == 1
    assert len(buyer.book()["doubles"]) == 1


def test_an_unknown_token_is_refused_with_the_scenario_s_code(sandbox, seller):
    """It is no double: nothing was sold."""
    buyer = sandbox({"token_code": 8200})
    assert seller(buyer).post("e69412030cc93b47cf5be6f7e3ee998c")["errorCode"] == 8200
    assert buyer.book()["doubles"] == []


def test_a_token_that_has_outlived_its_life_buys_nothing(sandbox, seller):
    """A life of no seconds is over at once."""
    buyer = sandbox({"token_life_s": 0})
    deals = seller(buyer)
    assert deals.sell()["reason"] == "Token expired"
    buyer.play({"token_life_s": 3600})
    assert deals.sell()["status"] == "accepted"


@pytest.mark.parametrize("code", [1000, 1100])
def test_a_post_after_an_explicit_1000_or_1100_is_no_repeat(sandbox, seller, code):
    """The answer proved that there was no sale."""
    buyer = sandbox({"rules": [{"call": "post", "first": 2, "code": code}]})
    deals = seller(buyer)
    token = deals.ping()["token"]
    assert [deals.post(token).get("errorCode") for _ in range(3)] == [code, code, None]
    assert buyer.book()["repeats"] == []


def test_a_post_after_a_final_refusal_is_a_repeat(sandbox, seller):
    """The token is spent by any other code."""
    buyer = sandbox({"rules": [{"call": "post", "first": 1, "code": 5000}]})
    deals = seller(buyer)
    token = deals.ping()["token"]
    assert deals.post(token)["errorCode"] == 5000
    assert deals.post(token)["reason"] == "Token already used"
    report = buyer.book()
    assert [entry["what"] for entry in report["repeats"]] == ["posted again after: refused"]
    assert report["doubles"] == []


def test_a_post_after_one_that_was_never_answered_is_a_repeat(sandbox, seller):
    """It may have been a sale, for all that the seller knew."""
    buyer = sandbox({"rules": [{"call": "post", "first": 1, "fault": "http_500"}]})
    deals = seller(buyer)
    token = deals.ping()["token"]
    assert deals.send("post", _post(token)).status_code == 500
    assert deals.post(token)["status"] == "accepted"
    assert [entry["what"] for entry in buyer.book()["repeats"]] == ["posted again after: unanswered"]


def _post(token: str) -> dict[str, str]:
    return {
        "partnerid": "XYZ",
        "key": "k",
        "numcategory": "16001",
        "subid": "123",
        "transfer_type": "1",
        "zipcode": "33139",
        "token": token,
    }


def test_a_post_that_differs_from_its_ping_is_a_violation(sandbox, seller):
    """Another zip code, another category: the bid was for another lead."""
    buyer = sandbox()
    deals = seller(buyer)
    deals.post(deals.ping()["token"], zipcode="90001", numcategory="16002")
    (violation,) = buyer.book()["violations"]
    assert (violation["what"], violation["fields"]) == ("a post that differs from its ping", ["numcategory", "zipcode"])


def test_a_customid_that_is_sold_twice_is_resold_whatever_the_tokens(sandbox, seller, post_fields):
    """One lead pinged twice and posted twice."""
    buyer = sandbox()
    deals = seller(buyer)
    deals.sell()
    assert buyer.book()["resold"] == []
    deals.send("one_step", post_fields)
    assert buyer.book()["resold"] == ["lead-1"]


def test_the_book_keeps_every_call_and_of_the_caller_nothing_but_customid_and_token(
    sandbox, seller, post_fields, tmp_path
):
    """Neither in memory nor in its file, nor the key."""
    buyer = sandbox(book=tmp_path / "book.jsonl")
    seller(buyer).sell()
    report = buyer.book(calls=True, tokens=True)
    assert [(call["call"], call["method"], call["result"]) for call in report["calls"]] == [
        ("ping", "form", "accepted"),
        ("post", "form", "accepted"),
    ]
    kept = json.dumps(report, ensure_ascii=False) + (tmp_path / "book.jsonl").read_text(encoding="utf-8")
    identity = ("firstname", "lastname", "address", "city", "telephone", "email", "comments", "key")
    assert [name for name in identity if post_fields[name] in kept] == []
    assert "lead-1" in kept


def test_the_book_counts_calls_by_answer_and_totals_its_sales(sandbox, seller):
    """To the cent."""
    buyer = sandbox({"prices": {"16001": "0.10", "16002": "0.20"}, "rules": [{"zipcode": "05000", "code": 5000}]})
    deals = seller(buyer)
    deals.sell()
    deals.sell(numcategory="16002")
    deals.ping(zipcode="05000")
    report = buyer.book()
    assert report["counts"] == {"ping": {"accepted": 2, "5000": 1}, "post": {"accepted": 2}}
    assert report["total"] == "0.30"


def test_the_confirmed_price_may_differ_from_the_quoted_one(sandbox, seller):
    """A rule for the post has the last word, and the book has what was paid."""
    buyer = sandbox({"rules": [{"call": "post", "price": "8.00", "phone_number": "8005550100"}]})
    deals = seller(buyer)
    bid = deals.ping()
    sale = deals.post(bid["token"], price_tag="1")
    assert (bid["price"], sale["price"], sale["PhoneNumber"]) == ("9.50", "8.00", "8005550100")
    assert buyer.book()["total"] == "8.00"


def test_a_sale_is_in_the_file_before_its_answer_is_sent(sandbox, connect, post_fields, tmp_path):
    """So a sandbox that is killed has lost none."""
    path = tmp_path / "book.jsonl"
    buyer = sandbox({"rules": [{"call": "one_step", "fault": "hang", "sells": True}]}, book=path)
    connect(buyer).sendall(f"GET /one_step?{urlencode(post_fields)} HTTP/1.1\r\nHost: buyer\r\n\r\n".encode())
    buyer.wait_for(lambda book: book["faults"] == {"hang": 1})
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [(record["record"], record["customid"]) for record in records] == [("sale", "lead-1"), ("call", "lead-1")]


def test_a_book_is_taken_up_where_another_sandbox_left_it(sandbox, seller, tmp_path):
    """With a line that a kill cut short: sold tokens are still sold, open bids still open."""
    path = tmp_path / "book.jsonl"
    first = sandbox(book=path)
    deals = seller(first)
    sold, open_bid = deals.ping()["token"], deals.ping()["token"]
    deals.post(sold)
    deals.ping(firstname="x")
    before = first.book(calls=True, tokens=True)
    first.stop()
    with path.open("a", encoding="utf-8") as file:
        file.write('{"record": "sale", "tok')
    second = sandbox(book=path)
    assert second.book(calls=True, tokens=True) == before
    again = seller(second)
    assert again.post(sold)["reason"] == "Token already used"
    assert again.post(open_bid)["status"] == "accepted"
    third = Book(path)
    assert (len(third.report()["sales"]), len(third.report()["doubles"])) == (2, 1)
    third.close()


def test_a_reset_begins_a_new_book_in_memory_and_in_the_file(sandbox, seller, http, tmp_path):
    """The file keeps the old one above a line that says so."""
    path = tmp_path / "book.jsonl"
    buyer = sandbox({"maintenance": [{"first_calls": 1}]}, book=path)
    deals = seller(buyer)
    assert deals.ping()["errorCode"] == 1000
    deals.sell()
    assert http.post(f"{buyer.url}/_sandbox/reset", timeout=10).ok
    assert buyer.book()["counts"] == {}
    assert deals.ping()["errorCode"] == 1000
    later = Book(path)
    assert later.report()["sales"] == []
    later.close()


def test_the_book_is_readable_over_http(sandbox, seller, http):
    """Calls and tokens where asked for."""
    buyer = sandbox()
    seller(buyer).sell()
    book = f"{buyer.url}/_sandbox/book"
    assert http.get(book, timeout=10).json() == buyer.book()
    asked = http.get(book, params={"calls": 1, "tokens": 1}, timeout=10).json()
    assert asked == buyer.book(calls=True, tokens=True)


def test_a_buyer_that_was_stopped_refuses_connections_and_comes_back_with_its_book(sandbox, seller):
    """On the same port."""
    buyer = sandbox()
    deals = seller(buyer)
    token = deals.ping()["token"]
    buyer.stop()
    with pytest.raises(OSError, match=r"refused|aborted|reset"):
        deals.ping()
    buyer.start()
    assert deals.post(token)["status"] == "accepted"
    assert len(buyer.book()["sales"]) == 1

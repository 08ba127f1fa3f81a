"""The documented API: four calls, three methods, three formats, its credentials, its fields, its test mode."""

from __future__ import annotations

import pytest

NOT_ON_A_PING = [
    *("price", "price_tag", "token", "customid", "state"),
    *("firstname", "lastname", "address", "city", "telephone", "email", "comments"),
]
METHODS = ["form", "json", "get"]
FORMATS = {"JSON": "application/json", "XML": "application/xml", "": "text/plain"}


@pytest.mark.parametrize("resptype", FORMATS)
@pytest.mark.parametrize("method", METHODS)
def test_a_ping_is_answered_with_a_bid_by_every_method_in_every_format(sandbox, seller, ping_fields, method, resptype):
    """price, token and duration, whichever way the fields came."""
    buyer = sandbox({"prices": {"16001": "12.50"}, "duration": 90})
    answer = seller(buyer).send("ping", {**ping_fields, "resptype": resptype}, method)
    (token,) = buyer.book(tokens=True)["tokens"]
    assert answer.headers["Content-Type"] == FORMATS[resptype]
    assert all(fact in answer.text for fact in ("accepted", "12.50", token, "90"))
    assert buyer.book()["violations"] == []


@pytest.mark.parametrize("resptype", FORMATS)
@pytest.mark.parametrize("method", METHODS)
def test_a_post_is_answered_with_a_phone_number_by_every_method_in_every_format(
    sandbox, seller, post_fields, method, resptype
):
    """The number that the book has beside this lead."""
    buyer = sandbox()
    token = seller(buyer).ping()["token"]
    answer = seller(buyer).send("post", {**post_fields, "token": token, "resptype": resptype}, method)
    (sale,) = buyer.book()["sales"]
    assert sale["phone_number"] in answer.text
    assert answer.headers["Content-Type"] == FORMATS[resptype]
    assert (sale["token"], sale["customid"], sale["price"], sale["zipcode"]) == (token, "lead-1", "9.50", "33139")
    assert buyer.book()["violations"] == []


@pytest.mark.parametrize("path", ["one_step", "Ping_Partner_CR.php"])
@pytest.mark.parametrize("resptype", FORMATS)
@pytest.mark.parametrize("method", METHODS)
def test_a_one_step_call_is_bid_duration_and_phone_number_at_once(sandbox, seller, post_fields, method, resptype, path):
    """On both of its paths."""
    buyer = sandbox({"duration": 45})
    answer = seller(buyer).send(path, {**post_fields, "resptype": resptype}, method)
    (sale,) = buyer.book()["sales"]
    assert all(fact in answer.text for fact in ("9.50", "45", sale["phone_number"]))
    assert sale["call"] == "one_step"
    assert buyer.book()["violations"] == []


@pytest.mark.parametrize("resptype", FORMATS)
@pytest.mark.parametrize("method", METHODS)
def test_a_direct_post_sells_at_the_price_that_it_carries(sandbox, seller, post_fields, method, resptype):
    """Without a token."""
    buyer = sandbox()
    answer = seller(buyer).send("direct_post", {**post_fields, "price": "0.15", "resptype": resptype}, method)
    (sale,) = buyer.book()["sales"]
    assert sale["phone_number"] in answer.text
    assert (sale["price"], sale["call"]) == ("0.15", "direct_post")
    assert buyer.book()["violations"] == []


def test_a_post_carries_its_price_only_where_price_tag_asks_for_it(sandbox, seller):
    """As the page says: without price_tag the answer is by default."""
    deals = seller(sandbox())
    assert "price" not in deals.sell()
    assert deals.post(deals.ping()["token"], price_tag="1")["price"] == "9.50"


@pytest.mark.parametrize(
    "credentials",
    [{"partnerid": ""}, {"key": ""}, {"partnerid": "stranger"}, {"key": "wrong"}],
    ids="-".join,
)
def test_a_missing_or_wrong_credential_is_2000(sandbox, seller, ping_fields, credentials):
    """Whether the partner or the key."""
    buyer = sandbox({"partners": {"XYZ": ping_fields["key"]}})
    answer = seller(buyer).ping(**credentials)
    assert answer["errorCode"] == 2000
    assert answer["reason"] == "Invalid Partner ID or Blocked source"


@pytest.mark.parametrize("name", ["numcategory", "subid", "transfer_type", "zipcode"])
def test_a_missing_field_is_refused_with_a_reason_that_names_it(sandbox, seller, ping_fields, name):
    """With the code that the scenario chooses."""
    buyer = sandbox({"invalid_code": 8100})
    del ping_fields[name]
    answer = seller(buyer).send("ping", ping_fields).json()
    assert answer == {"status": "rejected", "errorCode": 8100, "reason": f"{name} is missing"}
    assert buyer.book()["violations"][0]["fields"] == [name]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("zipcode", "3313"),
        ("zipcode", "33139-1234"),
        ("zipcode", "٣٣١٣٩"),
        ("transfer_type", "3"),
        ("numcategory", "99999"),
        ("resptype", "json"),
        ("subid", "a\nb"),
        ("subid", "x" * 101),
    ],
)
def test_an_ill_formed_field_is_refused_with_a_reason_that_names_it(sandbox, seller, name, value):
    """Lengths, digits and allowed values come from the fields table."""
    buyer = sandbox({"layout": "flat_json"})
    answer = seller(buyer).ping(**{name: value})
    assert answer == {"status": "rejected", "errorCode": 5000, "reason": f"{name} is ill-formed"}
    assert buyer.book()["violations"][0]["fields"] == [name]


@pytest.mark.parametrize("value", [None, True, ["33139"], {"zip": "33139"}], ids=str)
def test_a_json_field_that_is_no_text_and_no_number_is_ill_formed(sandbox, seller, ping_fields, value):
    """It must not pass as absent, nor as its text."""
    answer = seller(sandbox()).send("ping", {**ping_fields, "zipcode": value}, "json").json()
    assert answer["reason"] == "zipcode is ill-formed"


def test_a_json_number_is_taken_as_the_digits_that_were_sent(sandbox, seller, post_fields):
    """16001 for "16001", 0.10 as it stands."""
    buyer = sandbox()
    fields = {**post_fields, "numcategory": 16001, "transfer_type": 2, "price": 0.25}
    assert seller(buyer).send("direct_post", fields, "json").json()["status"] == "accepted"
    assert buyer.book()["sales"][0]["price"] == "0.25"
    assert buyer.book()["violations"] == []


@pytest.mark.parametrize("name", NOT_ON_A_PING)
@pytest.mark.parametrize("value", ["x", ""], ids=["filled", "blank"])
def test_a_ping_with_a_field_that_a_ping_must_not_carry_is_a_violation(sandbox, seller, name, value):
    """Even a blank one; the book names the field and keeps no value."""
    buyer = sandbox()
    assert seller(buyer).ping(**{name: value})["status"] == "accepted"
    (violation,) = buyer.book()["violations"]
    assert (violation["call"], violation["fields"]) == ("ping", [name])
    assert violation["what"] == "fields that ping must not carry"


def test_a_field_that_the_table_does_not_know_is_a_violation(sandbox, seller):
    """Counted, not quoted: its name is the seller's and may be anything."""
    buyer = sandbox()
    seller(buyer).ping(JohnDoe="x")
    (violation,) = buyer.book()["violations"]
    assert violation["what"] == "fields that are not in the table: 1"
    assert "JohnDoe" not in str(buyer.book(calls=True))


def test_a_scenario_may_take_a_price_on_a_ping_as_the_lowest_bid(sandbox, seller):
    """Code 6000 where the bid is under it."""
    buyer = sandbox({"allow": {"ping": ["price"]}, "price": "9.50"})
    assert seller(buyer).ping(price="9.50")["status"] == "accepted"
    assert seller(buyer).ping(price="9.51")["errorCode"] == 6000
    assert buyer.book()["violations"] == []


def test_a_scenario_may_add_categories(sandbox, seller):
    """The page hides the rest of them."""
    assert seller(sandbox({"categories": [16123]})).ping(numcategory="16123")["status"] == "accepted"


def test_test_mode_says_yes_to_the_subid_match_alone(sandbox, seller):
    """Any other sub source is 5000, and nothing sold in test counts into the total."""
    buyer = sandbox({"partners": {"XYZ": "live"}})
    deals = seller(buyer)
    assert deals.ping(key="test_mode", subid="other")["errorCode"] == 5000
    assert deals.sell(key="test_mode", subid="match")["status"] == "accepted"
    report = buyer.book()
    assert [sale["test"] for sale in report["sales"]] == [True]
    assert report["total"] == "0"


def test_a_direct_post_in_test_mode_needs_a_price(sandbox, seller, post_fields):
    """The page: add price = 0.5."""
    deals = seller(sandbox())
    fields = {**post_fields, "key": "test_mode", "subid": "match"}
    assert deals.send("direct_post", fields).json()["reason"] == "price is missing"
    assert deals.send("direct_post", {**fields, "price": "0.5"}).json()["status"] == "accepted"


def test_another_method_or_path_is_an_http_error(sandbox, http):
    """405 and 404; neither is a call."""
    buyer = sandbox()
    assert http.put(buyer.ping_url, timeout=10).status_code == 405
    assert http.get(f"{buyer.url}/nowhere", timeout=10).status_code == 404
    assert buyer.book()["counts"] == {}

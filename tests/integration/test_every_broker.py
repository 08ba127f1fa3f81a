"""Every end of a lead, from a producer's JSON to its outcome, on every pair of broker and ledger."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from tasks.ledger.story import Story, story
from tests.integration.conftest import House
from tests.integration.installation import IDENTITY, KEY, lead, wait_for

Outcome = dict[str, Any]
SOLD = ("m-sold", "m-sold-2")
ENDED = {
    **dict.fromkeys((*SOLD, "m-last-of-the-day"), "sold"),
    "m-rejected": "rejected",
    "m-rejected-post": "rejected",
    "m-capped": "capped",
    "m-capped-2": "capped",
    "m-blocked": "blocked",
    "m-expired": "expired",
    "m-invalid": "invalid",
}


@pytest.fixture(scope="module")
def told(house: House) -> dict[str, Outcome]:
    """The first direct outcome of each lead of the matrix."""
    together = [
        lead("m-sold", customid="ours-17", subid="radio"),
        lead("m-sold-2", numcategory="16002"),
        lead("m-rejected", zipcode="05000"),
        lead("m-rejected-post", zipcode="05001"),
        lead("m-expired", zipcode="00500", deadline_s=1.5),
        lead("m-invalid", zipcode="123", transfer_type=7, shoesize=44),
    ]
    told = house.upstream.sell(*together)
    # Another source has just been sold from: the buyer's 2000 closes the gate of this one alone.
    told += house.upstream.sell(lead("m-blocked", zipcode="02000", subid="closed"))
    for lead_id in ("m-last-of-the-day", "m-capped", "m-capped-2"):
        told += house.upstream.sell(lead(lead_id, numcategory=16005))
        if lead_id == "m-capped":
            house.installation.wait_for_line("gate.closed", scope="category:16005")
    return {outcome["lead_id"]: outcome for outcome in told}


def _story(house: House, lead_id: str) -> Story:
    found = house.installation.ledger.read(lambda connection: story(connection, lead_id))
    assert found is not None
    return found


@pytest.mark.parametrize(("lead_id", "status"), ENDED.items())
def test_a_lead_ends_as_the_buyer_decides(told: dict[str, Outcome], lead_id: str, status: str):
    """Each lead has the outcome that the contract's table gives it."""
    assert told[lead_id]["status"] == status, told[lead_id]


def test_a_sale_tells_everything_that_the_contract_names(told: dict[str, Outcome]):
    """Number, prices as decimal strings, token, duration, and the producer's own names; nothing else."""
    sold = told["m-sold"]
    at, forward_by = (datetime.fromisoformat(sold[name]) for name in ("at", "forward_by"))
    assert 29.9 <= (forward_by - at).total_seconds() <= 30.1
    assert (at.utcoffset(), forward_by.utcoffset()) == (datetime.fromisoformat("2026-01-01T00:00:00Z").utcoffset(),) * 2
    assert sold["phone_number"].startswith("1855")
    assert len(sold["token"]) == 32
    assert {name: value for name, value in sold.items() if name not in _VARYING} == {
        "lead_id": "m-sold",
        "status": "sold",
        "stage": "post",
        "numcategory": 16001,
        "subid": "radio",
        "customid": "ours-17",
        "price_quoted": "12.50",
        "price_confirmed": "12.50",
        "price": "12.50",
        "duration_s": 60,
    }
    assert told["m-sold-2"]["price"] == "9.755"
    assert told["m-sold-2"]["customid"] == "m-sold-2"


_VARYING = ("at", "forward_by", "phone_number", "token")


def test_a_refusal_says_at_which_stage_why_and_with_which_code(told: dict[str, Outcome]):
    """The buyer's code and words, at the stage at which they came; a bid's price and token where there was one."""
    said = {lead_id: (told[lead_id]["stage"], told[lead_id].get("code")) for lead_id in ENDED if lead_id not in SOLD}
    assert said == {
        "m-last-of-the-day": ("post", None),
        "m-rejected": ("ping", 5000),
        "m-rejected-post": ("post", 5000),
        "m-capped": ("ping", 4000),
        "m-capped-2": ("ping", 4000),
        "m-blocked": ("ping", 2000),
        "m-expired": ("ping", None),
        "m-invalid": ("intake", None),
    }
    assert told["m-rejected"]["reason"] == "No coverage or buyers"
    assert "token" not in told["m-rejected"]
    assert told["m-rejected-post"]["price_quoted"] == "12.50"
    assert len(told["m-rejected-post"]["token"]) == 32
    assert "phone_number" not in told["m-rejected-post"]
    assert told["m-expired"]["reason"].startswith("no sale before the deadline; last: ")


def test_an_invalid_lead_is_told_every_fault_at_once(told: dict[str, Outcome]):
    """Each wrong field is named, and none of their values."""
    reason = told["m-invalid"]["reason"]
    assert all(name in reason for name in ("zipcode", "transfer_type", "shoesize"))
    assert "44" not in reason


def test_a_lead_sent_twice_is_sold_once_and_told_twice(house: House, told: dict[str, Outcome]):
    """The second sending gets the first's outcome, marked as replayed, and the buyer hears nothing of it."""
    calls = house.buyer.book(calls=True)["calls"]
    house.upstream.send(lead("m-sold", customid="ours-17", subid="radio"))
    again = house.upstream.answer("m-sold", number=2)
    assert again == {**told["m-sold"], "replayed": True}
    assert house.buyer.book(calls=True)["calls"] == calls


def test_the_same_id_with_other_content_is_invalid_and_changes_nothing(house: House, told: dict[str, Outcome]):
    """An id belongs to the lead that had it first."""
    before = _story(house, "m-sold-2").facts
    house.upstream.send(lead("m-sold-2", numcategory="16002", zipcode="33140"))
    answer = house.upstream.answer("m-sold-2", number=2)
    assert (answer["status"], answer["stage"]) == ("invalid", "intake")
    assert answer["reason"].startswith("lead_id")
    assert _story(house, "m-sold-2").facts == before
    assert told["m-sold-2"]["status"] == "sold"


def test_a_lead_sent_again_in_flight_is_told_to_both_at_the_end(house: House):
    """One sale, one announcement, and an answer to each sending, the second one marked as replayed."""
    twice = lead("twice", zipcode="03000")
    house.upstream.send(twice, twice)
    second = house.upstream.answer("twice", number=2)
    first = house.upstream.answer("twice")
    unmarked = [{name: value for name, value in one.items() if name != "replayed"} for one in (first, second)]
    assert unmarked[0] == unmarked[1]
    assert {first.get("replayed"), second.get("replayed")} == {None, True}
    assert first["status"] == "sold"
    assert [key for key, _ in wait_for(lambda: house.upstream.announced("twice"), 10)] == ["outcome.sold"]
    assert [sale["customid"] for sale in house.buyer.book()["sales"]].count("twice") == 1


def test_every_outcome_is_announced_once_under_its_status(house: House, told: dict[str, Outcome]):
    """Over the exchange comes the very outcome that was told directly, once, with the routing key of its status."""
    for lead_id, outcome in told.items():
        announced = wait_for(lambda: house.upstream.announced(lead_id), 10)  # noqa: B023 - called at once
        first_tellings = [(key, one) for key, one in announced if "replayed" not in one and one["stage"] != "intake"]
        if outcome["status"] == "invalid":
            first_tellings = announced
        assert first_tellings == [(f"outcome.{outcome['status']}", outcome)]


def test_every_outcome_is_one_line_of_the_log(house: House, told: dict[str, Outcome]):
    """One `lead.outcome` a lead, the outcome itself, but for the number, of which two digits are left."""
    for lead_id, outcome in told.items():
        lines = house.installation.lines("lead.outcome", lead_id=lead_id)
        line = lines[0]
        number = outcome.get("phone_number")
        assert line.get("phone_number") == (None if number is None else f"***{number[-2:]}")
        assert {name: line[name] for name in outcome if name != "phone_number"} == {
            name: value for name, value in outcome.items() if name != "phone_number"
        }
        assert [line["status"] for line in lines].count(outcome["status"]) == 1


def test_every_call_is_one_line_of_the_log_with_its_token_and_price(house: House, told: dict[str, Outcome]):
    """A ping's line has the token and the price quoted, a post's the same token and the price confirmed."""
    sold = told["m-sold"]
    lines = [
        {name: line.get(name) for name in ("stage", "attempt", "http_status", "result", "token", "price")}
        for line in house.installation.lines("buyer.call", lead_id="m-sold")
    ]
    common = {"attempt": 1, "http_status": 200, "token": sold["token"]}
    assert lines == [
        {**common, "stage": "ping", "result": "bid", "price": "12.50"},
        {**common, "stage": "post", "result": "sale", "price": "12.50"},
    ]
    refusal = house.installation.lines("buyer.call", lead_id="m-rejected")
    assert [(line["code"], line["result"]) for line in refusal] == [(5000, "refusal")]
    assert all(isinstance(line["duration_ms"], float) for line in refusal)


def test_the_ledger_has_what_was_told(house: House, told: dict[str, Outcome]):
    """State, prices, token, number and end stand in the lead's row, and its calls beside it."""
    sold = told["m-sold"]
    found = _story(house, "m-sold")
    facts = found.facts
    assert facts is not None
    assert (facts.state, facts.status, facts.token, facts.phone_number) == (
        "sold",
        "sold",
        sold["token"],
        sold["phone_number"],
    )
    assert (str(facts.price_quoted), str(facts.price_confirmed), facts.duration_s) == ("12.50", "12.50", 60)
    assert [(attempt.call, attempt.number, attempt.result) for attempt in found.attempts] == [
        ("ping", 1, "bid"),
        ("post", 1, "sale"),
    ]
    assert facts.told_at is not None
    assert all(asker.told_at is not None for asker in found.askers)


def test_the_buyer_s_book_is_ours_to_the_cent(house: House, told: dict[str, Outcome]):
    """What the buyer booked as bought is what we booked as sold, and it has nothing to complain about."""
    book = house.buyer.book()
    assert (book["violations"], book["doubles"], book["repeats"], book["resold"]) == ([], [], [], [])
    ours = {
        outcome["customid"]: (Decimal(outcome["price"]), outcome["token"], outcome["phone_number"])
        for outcome in told.values()
        if outcome["status"] == "sold"
    }
    theirs = {
        sale["customid"]: (Decimal(sale["price"]), sale["token"], sale["phone_number"])
        for sale in book["sales"]
        if sale["customid"] in ours
    }
    assert theirs == ours
    assert {sale["customid"] for sale in book["sales"] if sale["customid"].startswith(("m-", "ours-"))} == set(ours)


def test_a_lead_at_a_closed_gate_meets_no_buyer(house: House, told: dict[str, Outcome]):
    """After the first 4000 no call of its category is made: the second capped lead cost nothing."""
    assert told["m-capped-2"]["status"] == "capped"
    called = {line["lead_id"] for line in house.installation.lines("buyer.call")}
    assert "m-capped" in called
    assert "m-capped-2" not in called


def test_a_lead_that_its_ping_ends_is_never_posted(house: House):
    """No message for a post exists, while one for a lead with a bid does; both messages carry ids alone."""
    with house.operator.nobody_takes("post"):
        (refused,) = house.upstream.sell(lead("m-no-post", zipcode="05000"))
        house.upstream.send(lead("m-post-waits"))
        (message,) = house.operator.wait_until_there_waits("post", 1)
    assert refused["status"] == "rejected"
    assert "m-post-waits" in message
    assert "m-no-post" not in message
    assert not any(word in message for word in (*IDENTITY, KEY))
    assert house.upstream.answer("m-post-waits")["status"] == "sold"


def test_a_ping_that_waits_carries_an_id_alone(house: House):
    """The message of a ping, chain and all, holds nothing of the caller and no key."""
    with house.operator.nobody_takes("ping"):
        house.upstream.send(lead("m-ping-waits"))
        (message,) = house.operator.wait_until_there_waits("ping", 1)
    assert "m-ping-waits" in message
    assert not any(word in message for word in (*IDENTITY, KEY))
    assert house.upstream.answer("m-ping-waits")["status"] == "sold"

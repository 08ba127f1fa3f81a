"""Caps, rate limit and maintenance: the codes that a buyer answers whoever asks."""

from __future__ import annotations

from datetime import date
from itertools import count

import pytest

from ops.sandbox.limits import Caps, Pace, Windows
from ops.sandbox.rulebook import Call
from ops.sandbox.scenario import Cap, Maintenance, RateLimit

MONDAY, TUESDAY = date(2026, 11, 23), date(2026, 11, 24)


def test_a_cap_of_a_category_answers_4000_on_the_ping_and_leaves_other_categories_open(sandbox, seller):
    """Counted by sales: bids alone do not fill it."""
    deals = seller(sandbox({"caps": [{"numcategory": 16005, "count": 2}]}))
    for _ in range(3):
        assert deals.ping(numcategory="16005")["status"] == "accepted"
    for _ in range(2):
        assert deals.sell(numcategory="16005")["status"] == "accepted"
    assert deals.ping(numcategory="16005") == {"status": "rejected", "errorCode": 4000, "reason": "Daily Cap reached"}
    assert deals.ping(numcategory="16001")["status"] == "accepted"


def test_a_post_over_the_cap_is_4000_although_its_ping_was_accepted(sandbox, seller):
    """Two bids, one place."""
    deals = seller(sandbox({"caps": [{"count": 1, "per": "partner"}]}))
    first, second = deals.ping()["token"], deals.ping(numcategory="16002")["token"]
    assert deals.post(first)["status"] == "accepted"
    assert deals.post(second, numcategory="16002")["errorCode"] == 4000


def test_a_cap_is_open_again_on_the_buyer_s_next_day(sandbox, seller):
    """At its midnight, which a test may bring about."""
    buyer = sandbox({"caps": [{"count": 1}]})
    deals = seller(buyer)
    deals.sell()
    assert deals.ping()["errorCode"] == 4000
    buyer.new_day()
    assert deals.ping()["status"] == "accepted"


def test_a_sale_in_test_mode_fills_no_cap(sandbox, seller):
    """And a full cap turns no test away."""
    deals = seller(sandbox({"caps": [{"count": 1}]}))
    deals.sell(key="test_mode", subid="match")
    assert deals.sell()["status"] == "accepted"
    assert deals.sell(key="test_mode", subid="match")["status"] == "accepted"


@pytest.mark.parametrize(
    ("per", "other"),
    [("partner", {"partnerid": "other"}), ("category", {"numcategory": "16002"}), ("subid", {"subid": "other"})],
)
def test_each_scope_of_a_cap_is_counted_apart(per, other):
    """One partner's, category's or sub source's sales fill no other's."""
    caps = Caps((Cap(count=1, per=per),))
    fields = {"partnerid": "XYZ", "numcategory": "16001", "subid": "123"}
    caps.count(fields, MONDAY)
    assert caps.reached(fields, MONDAY)
    assert not caps.reached({**fields, **other}, MONDAY)
    assert not caps.reached(fields, TUESDAY)


def test_calls_over_the_rate_are_1100_with_a_wait_where_the_scenario_gives_one(sandbox, seller, ping_fields):
    """A bucket that holds two and hardly fills."""
    buyer = sandbox({"rate_limit": {"calls_per_s": 0.0001, "burst": 2, "retry_after_s": 1}})
    answers = [seller(buyer).send("ping", ping_fields) for _ in range(4)]
    assert [answer.json().get("errorCode") for answer in answers] == [None, None, 1100, 1100]
    assert [answer.headers.get("Retry-After") for answer in answers] == [None, None, "1", "1"]


def test_the_rate_refills_by_the_clock_and_never_over_its_burst():
    """10 a second: after half a second five more, after an hour ten."""
    pace = Pace(RateLimit(calls_per_s=10), now=0)
    assert [pace.takes(0) for _ in range(11)] == [True] * 10 + [False]
    assert [pace.takes(0.5) for _ in range(6)] == [True] * 5 + [False]
    assert [pace.takes(3600) for _ in range(11)] == [True] * 10 + [False]


def test_maintenance_answers_1000_to_the_first_calls(sandbox, seller, ping_fields):
    """Before anything else is looked at, credentials included."""
    buyer = sandbox({"maintenance": [{"first_calls": 2, "retry_after_s": 3}], "partners": {"other": "key"}})
    answers = [seller(buyer).send("ping", ping_fields) for _ in range(3)]
    assert [answer.json()["errorCode"] for answer in answers] == [1000, 1000, 2000]
    assert answers[0].headers["Retry-After"] == "3"


def test_a_maintenance_window_opens_and_ends_by_the_clock():
    """From start_s, for length_s, counted from the scenario's beginning."""
    windows = Windows((Maintenance(start_s=10, length_s=60),), began=1000)
    inside = [windows.closed_by(Call.PING, 1000 + at) is not None for at in (0, 9.9, 10, 69.9, 70)]
    assert inside == [False, False, True, True, False]


def test_maintenance_may_be_of_one_call_alone(sandbox, seller):
    """Posts wait while pings are answered; the token survives, and the post's repetition is no offence."""
    buyer = sandbox({"maintenance": [{"first_calls": 1, "call": "post"}]})
    deals = seller(buyer)
    token = deals.ping()["token"]
    assert deals.post(token)["errorCode"] == 1000
    assert deals.post(token)["status"] == "accepted"
    assert buyer.book()["repeats"] == []


def test_two_windows_count_their_calls_each_on_its_own():
    """The second does not wait for the first to end."""
    windows = Windows((Maintenance(first_calls=1), Maintenance(first_calls=3, retry_after_s=9)), began=0)
    found = [windows.closed_by(Call.PING, at) for at, _ in zip(count(), range(4), strict=False)]
    assert [window and window.retry_after_s for window in found] == [None, 9, 9, None]
    assert [window is None for window in found] == [False, False, False, True]

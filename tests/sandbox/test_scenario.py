"""Scenarios: rules in order, counted and drawn; what is wrong with one is said by key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from ops.sandbox import ScenarioError, load_scenario
from ops.sandbox.rulebook import Call
from ops.sandbox.rules import Rules
from ops.sandbox.scenario import SHIPPED, Rule, Scenario, scenario_from, scenario_from_text

FIELDS = {"numcategory": "16001", "zipcode": "33139", "subid": "123"}


def codes(scenario: Scenario, calls: list[dict[str, str]], call: Call = Call.PING) -> list[int | None]:
    rules = Rules(scenario)
    found = [rules.find(call, {**FIELDS, **fields}) for fields in calls]
    return [rule.code if rule else None for rule in found]


def test_the_first_rule_that_a_call_meets_wins():
    """In the order of the file."""
    scenario = Scenario(rules=(Rule(zipcode=("90001",), code=5000), Rule(code=6000)))
    assert codes(scenario, [{"zipcode": "90001"}, {}]) == [5000, 6000]


@pytest.mark.parametrize(
    ("matcher", "met", "not_met"),
    [
        ({"numcategory": 16002}, {"numcategory": "16002"}, {"numcategory": "16001"}),
        ({"zipcode": ["90001", "90002"]}, {"zipcode": "90002"}, {"zipcode": "90003"}),
        ({"zipcode": "900*"}, {"zipcode": "90099"}, {"zipcode": "91000"}),
        ({"subid": "a"}, {"subid": "a"}, {"subid": "b"}),
    ],
)
def test_a_rule_applies_to_the_calls_that_its_matchers_name(matcher, met, not_met):
    """One value, several, or the beginning of a zip code."""
    scenario = scenario_from({"rules": [{**matcher, "code": 5000}]})
    assert codes(scenario, [met, not_met]) == [5000, None]


def test_a_rule_for_one_call_leaves_the_others_alone():
    """A list names several."""
    scenario = scenario_from({"rules": [{"call": ["post", "one_step"], "code": 5000}]})
    found = {call: codes(scenario, [{}], call) for call in Call}
    assert found == {"ping": [None], "post": [5000], "one_step": [5000], "direct_post": [None]}


def test_first_and_nth_count_apart_for_each_zip_code():
    """And the count goes on where the rule does not apply."""
    one, other = {"zipcode": "01000"}, {"zipcode": "01001"}
    scenario = scenario_from({"rules": [{"first": 1, "nth": [3], "code": 1000}]})
    assert codes(scenario, [one, other, one, one, other, one]) == [1000, 1000, None, 1000, None, None]


@pytest.mark.parametrize(
    ("per", "fields"),
    [
        ("all", [{"zipcode": "1"}, {"zipcode": "2"}]),
        ("lead", [{"customid": "a", "token": "1"}, {"customid": "a", "token": "2"}]),
        ("lead", [{"token": "1", "zipcode": "1"}, {"token": "1", "zipcode": "2"}]),
        ("token", [{"token": "1", "zipcode": "1"}, {"token": "1", "zipcode": "2"}]),
        ("subid", [{"zipcode": "1"}, {"zipcode": "2"}]),
    ],
)
def test_calls_may_be_counted_per_something_else(per, fields):
    """A lead is known by its customid, else its token, else its zip code."""
    scenario = scenario_from({"rules": [{"first": 1, "per": per, "code": 1000}]})
    assert codes(scenario, fields) == [1000, None]


def test_a_share_is_drawn_by_seed_and_the_same_each_time():
    """Near to what was asked, and different by seed."""

    def drawn(seed: int) -> list[int | None]:
        return codes(scenario_from({"seed": seed, "rules": [{"share": 0.1, "code": 5000}]}), [{}] * 2000)

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert 120 < Counter(drawn(1))[5000] < 280


def test_two_rules_draw_apart():
    """The second half is not the first one's half."""
    rules = [{"share": 0.5, "code": 5000}, {"share": 0.5, "code": 6000}]
    found = Counter(codes(scenario_from({"seed": 3, "rules": rules}), [{}] * 1000))
    assert all(found[code] > 150 for code in (5000, 6000, None))


def test_latency_is_drawn_by_seed_from_its_range(sandbox, seller):
    """And the answer comes all the same."""
    assert scenario_from({"latency_ms": 20}).latency_ms == (20, 20)
    deals = seller(sandbox({"latency_ms": [1, 2], "rules": [{"zipcode": "90001", "latency_ms": 3}]}))
    assert deals.ping()["status"] == deals.ping(zipcode="90001")["status"] == "accepted"


@pytest.mark.parametrize(
    ("scenario", "key"),
    [
        ({"rules": [{"zip": "33139"}]}, "rules.0.zip"),
        ({"rules": [{"fault": "explode"}]}, "rules.0.fault"),
        ({"rules": [{"share": 2}]}, "rules.0.share"),
        ({"price": 9.5}, "price"),
        ({"price": "-1"}, "price"),
        ({"layout": "csv"}, "layout"),
        ({"maintenance": [{"start_s": 1}]}, "maintenance.0"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"caps": [{"count": -1}]}, "caps.0.count"),
    ],
)
def test_a_wrong_scenario_is_refused_with_the_key_that_is_wrong(scenario, key):
    """In one line."""
    with pytest.raises(ScenarioError) as wrong:
        scenario_from(scenario)
    (line,) = str(wrong.value).splitlines()
    assert line.startswith(f"{key}: ")


@pytest.mark.parametrize("load", [lambda: load_scenario("nowhere"), lambda: scenario_from_text("rules = [")])
def test_a_file_that_is_not_there_or_no_toml_is_a_scenario_error(load: Callable[[], Scenario]):
    """Not a traceback."""
    with pytest.raises(ScenarioError):
        load()


def test_a_scenario_may_be_put_at_run_time_in_toml_or_json(sandbox, seller, http):
    """The book goes on; a wrong one changes nothing."""
    buyer = sandbox()
    deals = seller(buyer)
    url = f"{buyer.url}/_sandbox/scenario"
    deals.sell()
    assert http.put(url, data="[[rules]]\ncode = 5000", timeout=10).json() == {"rules": 1}
    assert deals.ping()["errorCode"] == 5000
    assert http.put(url, json={"rules": [{"code": 6000}]}, timeout=10).ok
    assert deals.ping()["errorCode"] == 6000
    for body in (b"rules = 7", b"\xff", b"["):
        assert http.put(url, data=body, timeout=10).status_code == 400
    assert deals.ping()["errorCode"] == 6000
    assert len(buyer.book()["sales"]) == 1


def test_every_shipped_scenario_can_be_played():
    """Each is found by its name alone."""
    names = [path.stem for path in SHIPPED.glob("*.toml")]
    assert "demo" in names
    assert all(load_scenario(name) for name in names)


@pytest.mark.parametrize(
    ("zipcode", "pings"),
    [
        ("33139", [None]),
        ("01000", [1000, 1000, None]),
        ("01100", [1100, None]),
        ("02000", [2000]),
        ("05000", [5000]),
        ("06000", [6000]),
        ("07777", [7777]),
    ],
)
def test_in_the_demo_a_lead_s_zip_code_decides_its_fate(sandbox, seller, zipcode, pings):
    """As the comment at its top says."""
    deals = seller(sandbox("demo"))
    assert [deals.ping(zipcode=zipcode).get("errorCode") for _ in pings] == pings


def test_in_the_demo_one_zip_code_is_refused_at_the_post_and_one_category_is_capped_at_three(sandbox, seller):
    """Prices go by category."""
    buyer = sandbox("demo")
    deals = seller(buyer)
    assert deals.sell(zipcode="05001")["errorCode"] == 5000
    assert [deals.sell(numcategory="16005")["status"] for _ in range(3)] == ["accepted"] * 3
    assert deals.ping(numcategory="16005")["errorCode"] == 4000
    assert buyer.book()["total"] == "22.20"

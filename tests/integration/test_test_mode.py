"""The buyer's test mode: the same way of a lead, and nothing of it counts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.conftest import Neighbours, Town
from tests.integration.installation import lead

SCENARIO = {"rules": [{"call": "ping", "zipcode": "04000", "code": 4000}]}


@pytest.fixture(scope="module")
def town(neighbours: Neighbours) -> Town:
    """An installation with the test key, whose leads are of the test's positive sub source."""
    environment: dict[str, Any] = {
        "PINGPOST_KEY": "test_mode",
        "PINGPOST_SUBID": "match",
        "PINGPOST_METHOD": "form",
        "PINGPOST_RESPTYPE": "",
    }
    return neighbours.move_in(SCENARIO, environment)


def test_what_is_sold_in_test_says_so_and_pays_nothing(town: Town):
    """Outcomes and log lines are marked, and the report has them apart from payouts."""
    installation, upstream = town.installation, town.upstream
    sold, refused = upstream.sell(lead("t-sold"), lead("t-refused", subid="123"))
    assert (sold["status"], sold["test"], refused["status"], refused["test"]) == ("sold", True, "rejected", True)
    assert [sale["test"] for sale in town.buyer.book()["sales"]] == [True]
    assert all(line["test"] for line in installation.lines("buyer.call"))
    rows = installation.answer("report", "--json")
    assert {row["subid"]: (row["sold"], row["payout"], row["possible"], row["tests"]) for row in rows} == {
        "match": (0, "0.00", 0, {"sold": 1}),
        "123": (0, "0.00", 0, {"rejected": 1}),
    }


def test_a_4000_in_test_closes_no_gate(town: Town):
    """The lead that met it is capped; the next one of its category is sold."""
    installation, upstream = town.installation, town.upstream
    (capped,) = upstream.sell(lead("t-capped", zipcode="04000"))
    assert (capped["status"], capped["code"], capped["test"]) == ("capped", 4000, True)
    assert upstream.sell(lead("t-after"))[0]["status"] == "sold"
    assert installation.lines("gate.closed") == []
    assert {gate["state"] for gate in installation.answer("gates", "--json")} == {"open"}


def test_certify_walks_through_the_buyer_s_test(town: Town):
    """Every step is right against a buyer that keeps to its page, one-step first; nothing of it is in our ledger."""
    installation = town.installation
    done = installation.command("certify")
    assert done.returncode == 0, done
    assert "one-step, accepted: right" in done.stdout
    assert done.stdout.index("one-step") < done.stdout.index("ping, accepted")
    assert "not right" not in done.stdout
    assert installation.command("lead", "certify-1").returncode == 1
    assert town.buyer.book()["violations"] == []


def test_certify_fails_where_an_answer_cannot_be_read(town: Town):
    """With a mapping for another layout no step is right, each answer is shown, and the exit code says so."""
    installation = town.installation
    town.buyer.play({"layout": "foreign_json"})
    done = installation.command("certify", "--json", PINGPOST_RESPTYPE="JSON")
    town.buyer.play(SCENARIO)
    assert done.returncode == 1, done
    assert '"verdict": "not right"' in done.stdout
    assert "antwort" in done.stdout

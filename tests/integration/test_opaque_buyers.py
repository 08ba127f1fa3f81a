"""Two buyers that answer in layouts of their own: how they are read, and what their daily caps do."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import ops.sandbox
from tests.integration.conftest import Neighbours, Town
from tests.integration.installation import Installation, lead, wait_for
from tests.integration.upstream import Upstream
from tests.integration.zone import soon

MAPPINGS = Path(ops.sandbox.__file__).parent / "mappings"
GATE = "category:16003"


def _buyer(layout: str) -> Mapping[str, Any]:
    return {
        "layout": layout,
        "price": "12.34",
        "duration": 75,
        "rules": [
            {"call": "ping", "zipcode": "05000", "code": 5000},
            {"call": "post", "zipcode": "06000", "code": 6000, "reason": "Too cheap"},
        ],
        "caps": [{"numcategory": 16003, "count": 2}],
    }


def _settings(layout: str, method: str, resptype: str) -> dict[str, str]:
    mapping = str(MAPPINGS / f"{layout}.toml")
    return {"PINGPOST_MAPPING": mapping, "PINGPOST_METHOD": method, "PINGPOST_RESPTYPE": resptype}


@pytest.fixture(scope="module")
def opaque(neighbours: Neighbours) -> Town:
    """A buyer of XML that names nothing."""
    return neighbours.move_in(_buyer("opaque_xml"), _settings("opaque_xml", "form", "XML"))


@pytest.fixture(scope="module")
def foreign(neighbours: Neighbours, tmp_path_factory: pytest.TempPathFactory) -> tuple[Town, datetime]:
    """A buyer of JSON in another language, whose next day begins in a moment."""
    zones = tmp_path_factory.mktemp("zones")
    settings = _settings("foreign_json", "get", "JSON")
    zone, moment = soon(zones, 15)
    town = neighbours.move_in(_buyer("foreign_json"), {**settings, **zone})
    if (moment - datetime.now(UTC)).total_seconds() < 4:  # a machine so slow is given more time
        town.installation.stop()
        zone, moment = soon(zones, 90)
        town = neighbours.move_in(_buyer("foreign_json"), {**settings, **zone})
    return town, moment


def _calls(installation: Installation) -> int:
    return len(installation.buyer.book(calls=True)["calls"])


def _sells(upstream: Upstream, *lead_ids: str, numcategory: int = 16003) -> list[str]:
    return [outcome["status"] for outcome in upstream.sell(*(lead(i, numcategory=numcategory) for i in lead_ids))]


def test_after_a_4000_leads_of_the_category_are_capped_without_a_call(opaque: Town):
    """The first 4000 closes the gate, which counts whom it turns away, until an operator opens it."""
    installation, upstream = opaque.installation, opaque.upstream
    assert _sells(upstream, "c-1", "c-2") == ["sold", "sold"]
    assert _sells(upstream, "c-3") == ["capped"]
    closed = installation.wait_for_line("gate.closed", scope=GATE)
    assert closed["code"] == 4000

    before = _calls(installation)
    assert _sells(upstream, "c-4", "c-5", "c-6") == ["capped"] * 3
    assert _calls(installation) == before
    answer = upstream.answer("c-4")
    assert (answer["stage"], answer["code"]) == ("ping", 4000)
    assert _sells(upstream, "c-7", numcategory=16004) == ["sold"]

    (gate,) = (one for one in installation.answer("gates", "--json") if one["scope"] == GATE)
    contract = {"scope", "state", "code", "reason", "since", "until", "turned_away"}
    assert set(gate) == contract | {"sold", "payout"}
    assert (gate["state"], gate["code"], gate["turned_away"]) == ("closed", 4000, 3)
    assert gate["reason"] == "Daily Cap reached"
    since, until = (datetime.fromisoformat(gate[name]) for name in ("since", "until"))
    assert 0 < (until - since).total_seconds() <= 25 * 3600
    assert closed["until"] == gate["until"]


def test_an_operator_opens_and_closes_a_gate(opaque: Town):
    """`gates open` lets leads through to the buyer again, and `gates close` stops them until it is opened by hand."""
    installation, upstream = opaque.installation, opaque.upstream
    assert installation.command("gates", "close", "category:16002", "--reason", "a quiet day").returncode == 0
    assert installation.command("gates", "close", "category:16002").returncode == 1
    assert _sells(upstream, "o-1", numcategory=16002) == ["capped"]
    answer = upstream.answer("o-1")
    assert "a quiet day" in answer["reason"]
    assert "code" not in answer
    gates = {gate["scope"]: gate for gate in installation.answer("gates", "--json")}
    assert (gates["category:16002"]["state"], gates["category:16002"]["until"]) == ("closed", None)

    assert installation.command("gates", "open", "category:16002").returncode == 0
    assert installation.command("gates", "open", "category:16002").returncode == 1
    assert _sells(upstream, "o-2", numcategory=16002) == ["sold"]


def test_at_the_buyer_s_next_day_beat_opens_the_gate(foreign: tuple[Town, datetime]):
    """The reset comes at the setting's time in the setting's zone, is logged once, and leads are sold again."""
    (town, moment), installation, upstream = foreign, foreign[0].installation, foreign[0].upstream
    assert _sells(upstream, "r-1", "r-2") == ["sold", "sold"]
    assert _sells(upstream, "r-3") == ["capped"]
    assert datetime.fromisoformat(installation.wait_for_line("gate.closed", scope=GATE)["until"]) == moment
    town.buyer.new_day()
    reset = installation.wait_for_line("cap.reset", scope=GATE, within_s=120)
    assert datetime.fromisoformat(reset["timestamp"]) >= moment
    assert datetime.fromisoformat(reset["until"]) == moment
    assert wait_for(lambda: installation.lines("gate.opened", scope=GATE), 5)
    assert _sells(upstream, "r-4") == ["sold"]
    assert len(installation.lines("cap.reset")) == 1
    assert GATE not in {gate["scope"] for gate in installation.answer("gates", "--json") if gate["state"] == "closed"}


def _is_read_whole(town: Town, method: str) -> None:
    before = {sale["customid"] for sale in town.buyer.book()["sales"]}
    sold, refused, refused_post, whole = town.upstream.sell(
        lead("l-sold"),
        lead("l-refused", zipcode="05000"),
        lead("l-refused-post", zipcode="06000"),
        lead("l-one-step", flow="one_step"),
    )
    confirmed = [sold.get(name) for name in ("status", "price_quoted", "price_confirmed", "duration_s")]
    assert confirmed == ["sold", "12.34", "12.34", 75]
    assert [whole.get(name) for name in ("status", "price", "duration_s")] == ["sold", "12.34", 75]
    assert [refused.get(name) for name in ("status", "stage", "code")] == ["rejected", "ping", 5000]
    assert [refused_post.get(name) for name in ("status", "code", "reason")] == ["rejected", 6000, "Too cheap"]
    book = town.buyer.book(calls=True)
    numbers = {sale["customid"]: sale["phone_number"] for sale in book["sales"] if sale["customid"] not in before}
    assert numbers == {"l-sold": sold["phone_number"], "l-one-step": whole["phone_number"]}
    assert (book["violations"], book["repeats"]) == ([], [])
    assert {call["method"] for call in book["calls"]} == {method}


def test_xml_that_names_nothing_is_read_by_its_mapping(opaque: Town):
    """Bids, sales and refusals all have their facts, and the sales are the buyer's to the cent."""
    _is_read_whole(opaque, "form")


def test_json_in_another_language_is_read_by_its_mapping(foreign: tuple[Town, datetime]):
    """The same for the other layout, asked by GET."""
    _is_read_whole(foreign[0], "get")

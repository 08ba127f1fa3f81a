"""How a lead is sold: by ping and post, in one step, or straight at an agreed price; and never under the floor."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.conftest import Neighbours, Town
from tests.integration.installation import lead

Outcome = dict[str, Any]
FLOOR = "5.00"
LISTED, UNLISTED, CHEAP = "33139", "90210", "44444"
SCENARIO = {"price": "12.50", "rules": [{"call": ["ping", "one_step"], "zipcode": CHEAP, "price": "3.00"}]}
LEADS = (
    lead("f-listed", zipcode=LISTED),
    lead("f-listed-category", zipcode=LISTED, numcategory=16002),
    lead("f-own-price", zipcode=LISTED, price="8.00"),
    lead("f-own-price-unlisted", zipcode=UNLISTED, price="6.5"),
    lead("f-unlisted", zipcode=UNLISTED),
    lead("f-pinged", zipcode=LISTED, flow="ping_post"),
    lead("f-one-step", zipcode=LISTED, flow="one_step"),
    lead("f-cheap-bid", zipcode=CHEAP, flow="ping_post"),
    lead("f-cheap-one-step", zipcode=CHEAP, flow="one_step"),
)


@pytest.fixture(scope="module")
def town(neighbours: Neighbours, tmp_path_factory: pytest.TempPathFactory) -> Town:
    """A seller of direct posts, with a ziplist and a floor, to whom all leads are sent."""
    ziplist = tmp_path_factory.mktemp("lists") / "ziplist.csv"
    ziplist.write_text(f"zipcode,price,numcategory\n{LISTED},7.25,\n{LISTED},7.75,16002\n")
    environment = {
        "PINGPOST_FLOW": "direct_post",
        "PINGPOST_ZIPLIST": str(ziplist),
        "PINGPOST_MIN_PRICE": FLOOR,
        "PINGPOST_METHOD": "json",
        "PINGPOST_RESPTYPE": "JSON",
    }
    return neighbours.move_in(SCENARIO, environment)


@pytest.fixture(scope="module")
def told(town: Town) -> dict[str, Outcome]:
    """The outcome of each lead."""
    return {outcome["lead_id"]: outcome for outcome in town.upstream.sell(*LEADS)}


def _calls(town: Town, lead_id: str) -> list[str]:
    """The calls that were made for a lead, in their order; pings carry no name of ours, so the log tells."""
    town.installation.wait_for_line("lead.outcome", lead_id=lead_id)  # which is written after them
    return [line["call"] for line in town.installation.lines("buyer.call", lead_id=lead_id)]


@pytest.mark.parametrize(
    ("lead_id", "calls", "price"),
    [
        ("f-listed", ["direct_post"], "7.25"),
        ("f-listed-category", ["direct_post"], "7.75"),
        ("f-own-price", ["direct_post"], "8.00"),
        ("f-own-price-unlisted", ["direct_post"], "6.50"),
        ("f-unlisted", ["ping", "post"], "12.50"),
        ("f-pinged", ["ping", "post"], "12.50"),
        ("f-one-step", ["one_step"], "12.50"),
    ],
)
def test_a_lead_goes_the_way_of_its_flow_and_at_its_price(
    town: Town, told: dict[str, Outcome], lead_id: str, calls: list[str], price: str
):
    """The lead's own flow and price win; else the list's price; a lead on no list is pinged."""
    outcome = told[lead_id]
    assert (outcome["status"], outcome["stage"], outcome["price"]) == ("sold", "post", price)
    assert outcome["phone_number"]
    assert _calls(town, lead_id) == calls


def test_the_buyer_booked_the_same_prices(town: Town, told: dict[str, Outcome]):
    """Sales and prices are those of the book, which has no complaint about any call's fields."""
    book = town.buyer.book()
    assert (book["violations"], book["doubles"], book["repeats"], book["resold"]) == ([], [], [], [])
    theirs = {sale["customid"]: (sale["phone_number"], float(sale["price"])) for sale in book["sales"]}
    withheld = theirs.pop("f-cheap-one-step")
    assert withheld[1] == 3.0
    ours = {i: (o["phone_number"], float(o["price"])) for i, o in told.items() if o["status"] == "sold"}
    assert ours == theirs


def test_a_bid_under_the_floor_is_not_posted(town: Town, told: dict[str, Outcome]):
    """The bid is told, and no post is made."""
    outcome = told["f-cheap-bid"]
    assert (outcome["status"], outcome["stage"], outcome["price_quoted"]) == ("rejected", "ping", "3.00")
    assert FLOOR in outcome["reason"]
    assert _calls(town, "f-cheap-bid") == ["ping"]


def test_a_one_step_sale_under_the_floor_is_withheld(town: Town, told: dict[str, Outcome]):
    """Nobody is told its number, an operator is told that the buyer may count it, and so does the report."""
    outcome = told["f-cheap-one-step"]
    assert (outcome["status"], outcome["stage"]) == ("rejected", "post")
    assert "phone_number" not in outcome
    town.installation.wait_for_line("alarm", lead_id="f-cheap-one-step")
    (number,) = (s["phone_number"] for s in town.buyer.book()["sales"] if s["customid"] == "f-cheap-one-step")
    assert number not in town.installation.log_text()
    assert number not in town.installation.command("lead", "f-cheap-one-step", "--json").stdout
    rows = [row for row in town.installation.answer("report", "--json") if row["numcategory"] == 16001]
    assert [(row["possible"], row["possible_payout"], row["sold"]) for row in rows] == [(1, "3.00", 6)]


def test_an_installation_that_is_stopped_ends_with_0(town: Town, told: dict[str, Outcome]):
    """Every part ends by itself, and the last line says so."""
    assert told
    town.upstream.close()
    assert town.installation.stop() == 0
    last = town.installation.lines()[-1]
    assert (last["event"], last["killed"]) == ("up.stopped", [])

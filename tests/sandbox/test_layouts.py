"""Every answer layout says the same facts; the last two only to a seller with the mapping shipped beside them."""

from __future__ import annotations

import json
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from ops.sandbox import Layout, Sandbox, layouts
from ops.sandbox.rulebook import BUYER

MAPPINGS = Path(layouts.__file__).parent / "mappings"
DEFAULT = tomllib.loads((BUYER / "buyer.toml").read_text(encoding="utf-8"))["mapping"]
OPAQUE = [Layout.OPAQUE_XML, Layout.FOREIGN_JSON]
READABLE = [layout for layout in Layout if layout not in OPAQUE]
FACTS = ("status", "price", "token", "duration", "phone_number", "code", "reason")

Facts = dict[str, str]


def mapping_for(layout: Layout) -> dict[str, Any]:
    path = MAPPINGS / f"{layout}.toml"
    override = tomllib.loads(path.read_text(encoding="utf-8"))["mapping"] if path.exists() else {}
    return {**DEFAULT, **override}


def read(body: str, mapping: dict[str, Any]) -> Facts:
    """A second, independent reading of an answer by the rules that stand above [mapping] in buyer.toml."""
    leaves = dict(_leaves(body, mapping))
    facts = {}
    for fact in FACTS:
        for name in mapping[fact]:
            found = [value for path, value in leaves.items() if _fits(path, name)]
            if found:
                facts[fact] = found[0]
                break
    return facts


def _fits(path: tuple[str, ...], name: str) -> bool:
    wanted = tuple(_plain(step) for step in name.split("/"))
    return tuple(map(_plain, path)) == wanted if len(wanted) > 1 else _plain(path[-1]) == wanted[0]


def _plain(name: str) -> str:
    return name.lower().translate({ord(separator): None for separator in "_-.: "})


def _leaves(body: str, mapping: dict[str, Any]):
    if body.startswith("{"):
        yield from _json_leaves((), json.loads(body, parse_float=str, parse_int=str))
    elif body.startswith("<"):
        yield from _xml_leaves((), ET.fromstring(body.strip()), mapping)
    else:
        yield from (((name,), value) for name, _, value in (line.partition("=") for line in body.splitlines()))


def _json_leaves(path: tuple[str, ...], value: Any):
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _json_leaves((*path, name), inner)
    else:
        yield path, json.dumps(value) if isinstance(value, bool) else value


def _xml_leaves(path: tuple[str, ...], element: ET.Element, mapping: dict[str, Any]):
    here = (*path, element.tag)
    names = [element.get(name) for name in mapping["pair_name"] if element.get(name)]
    values = [element.get(name) for name in mapping["pair_value"] if element.get(name)]
    if names and values:
        yield (*path, names[0]), values[0]
    else:
        yield from (((*here, name), value) for name, value in element.attrib.items())
    if element.text and element.text.strip():
        yield here, element.text
    for child in element:
        yield from _xml_leaves(here, child, mapping)


def one_step(buyer: Sandbox, seller, post_fields, **fields: str) -> str:
    return seller(buyer).send("one_step", {**post_fields, **fields}).text


@pytest.mark.parametrize("layout", Layout)
def test_every_layout_says_price_duration_token_and_phone_number(sandbox, seller, post_fields, layout):
    """All that an accepted one-step call may say, read by the layout's mapping."""
    buyer = sandbox({"layout": layout, "price": "12.50", "duration": 90, "one_step_token": True})
    mapping = mapping_for(layout)
    facts = read(one_step(buyer, seller, post_fields), mapping)
    (sale,) = buyer.book()["sales"]
    assert facts["status"].lower() in [word.lower() for word in mapping["accepted"]]
    assert Decimal(facts["price"]) == Decimal("12.50")
    assert facts["duration"] == "90"
    assert len(facts["token"]) == 32
    assert facts["phone_number"] == sale["phone_number"]
    assert facts.get("code", "") in mapping["no_code"]


@pytest.mark.parametrize("layout", Layout)
def test_every_layout_says_a_bid(sandbox, seller, ping_fields, layout):
    """The token that the book has."""
    buyer = sandbox({"layout": layout})
    facts = read(seller(buyer).send("ping", ping_fields).text, mapping_for(layout))
    assert facts["token"] in buyer.book(tokens=True)["tokens"]
    assert Decimal(facts["price"]) == Decimal("9.50")
    assert "phone_number" not in facts


@pytest.mark.parametrize("layout", Layout)
def test_every_layout_says_a_refusal_with_code_and_reason(sandbox, seller, post_fields, layout):
    """A reason with characters that each format must escape."""
    reason = "No <coverage> & \"buyers\" in 'FL' = none"
    buyer = sandbox({"layout": layout, "rules": [{"code": 5000, "reason": reason}]})
    mapping = mapping_for(layout)
    facts = read(one_step(buyer, seller, post_fields), mapping)
    assert facts["status"].lower() in [word.lower() for word in mapping["rejected"]]
    assert (facts["code"], facts["reason"]) == ("5000", reason)
    assert not {"price", "token", "duration", "phone_number"} & set(facts)


@pytest.mark.parametrize("layout", OPAQUE)
def test_an_opaque_layout_says_nothing_to_the_default_mapping(sandbox, seller, post_fields, layout):
    """Neither a sale nor a refusal can be guessed from it."""
    buyer = sandbox({"layout": layout})
    assert read(one_step(buyer, seller, post_fields), DEFAULT) == {}
    buyer.play({"layout": layout, "rules": [{"code": 5000}]})
    assert not {"status", "code", "reason"} & set(read(one_step(buyer, seller, post_fields), DEFAULT))


@pytest.mark.parametrize("layout", OPAQUE)
def test_a_shipped_mapping_has_keys_that_the_buyer_s_mapping_has(layout):
    """An operator copies it as it is."""
    override = tomllib.loads((MAPPINGS / f"{layout}.toml").read_text(encoding="utf-8"))
    assert set(override) == {"mapping"}
    assert set(override["mapping"]) <= set(DEFAULT)


def test_the_loud_layout_is_json_that_calls_itself_html(sandbox, seller, ping_fields):
    """The content type is no help to a seller."""
    answer = seller(sandbox({"layout": "loud_json"})).send("ping", ping_fields)
    assert answer.headers["Content-Type"] == "text/html"
    assert json.loads(answer.text)["STATUS"] == "ACCEPTED"


def test_the_nested_layout_gives_the_price_as_a_number_in_its_own_digits(sandbox, seller, ping_fields):
    """9.50 and not 9.5: a seller that reads it as a float has lost something."""
    assert '"payout": 9.50' in seller(sandbox({"layout": "nested_json"})).send("ping", ping_fields).text


def test_layouts_are_chosen_by_rule_else_by_scenario_else_by_resptype(sandbox, seller, ping_fields):
    """In this order."""
    buyer = sandbox({"layouts": {"XML": "xml_attributes"}, "rules": [{"zipcode": "90001", "layout": "key_value"}]})
    send = seller(buyer).send
    assert send("ping", {**ping_fields, "resptype": "XML"}).text.count("<response status=") == 1
    assert send("ping", {**ping_fields, "resptype": "XML", "zipcode": "90001"}).text.startswith("status=accepted\n")
    del ping_fields["resptype"]
    assert send("ping", ping_fields).text.startswith("status=accepted\n")
    buyer.play({"layout": "nested_json"})
    assert send("ping", {**ping_fields, "resptype": "XML"}).text.startswith('{"response"')

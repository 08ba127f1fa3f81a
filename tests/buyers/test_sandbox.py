"""The client against the sandbox buyer: each was built from the same page, and neither from the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ops.sandbox import Fault, Layout, Sandbox
from tasks.buyers.http import BuyerConfig, HttpBuyer
from tasks.buyers.mapping import AnswerMapping
from tasks.buyers.port import Offer
from tasks.buyers.registry import load_mapping
from tasks.core.bid import Bid
from tasks.core.money import Money
from tasks.core.protocol import Call, Protocol
from tasks.core.reasons import Answer, Refusal, Unanswered, Unreadable
from tasks.core.sale import Sale
from tests.buyers.stories import KEY, PARTNER_ID

MAPPINGS = Path(__file__).parents[2] / "ops/sandbox/mappings"
LEAD = {"numcategory": "16001", "subid": "123", "transfer_type": "1", "zipcode": "33139"}
CALLER = {"firstname": "Zoë", "lastname": "O'Brien & Söhne", "telephone": "8772681223", "comments": "One\ntwo = 100%"}
PRICE = Money.parse("9.125")


def seller(sandbox: Sandbox, protocol: Protocol, mapping: AnswerMapping, **config: Any) -> HttpBuyer:
    endpoints = {
        Call.PING: sandbox.ping_url,
        Call.POST: sandbox.post_url,
        Call.ONE_STEP: sandbox.one_step_url,
        Call.DIRECT_POST: sandbox.direct_post_url,
    }
    return HttpBuyer(protocol, mapping, BuyerConfig(PARTNER_ID, KEY, endpoints, **config))


def answers(buyer: HttpBuyer, timeout_s: float = 10) -> dict[Call, Answer]:
    """Make every call once, the post against the ping's token."""
    ping = buyer.ask(Call.PING, Offer(LEAD, "lead-1"), timeout_s).answer
    token = ping.token if isinstance(ping, Bid) else "no-token"
    offer = Offer(LEAD | CALLER, "lead-1", token=token, price=PRICE)
    return {Call.PING: ping} | {
        call: buyer.ask(call, offer, timeout_s).answer for call in Call if call is not Call.PING
    }


def mapping_of(layout: Layout) -> AnswerMapping:
    own = MAPPINGS / f"{layout}.toml"
    return load_mapping(own if own.exists() else None)


@pytest.mark.parametrize("layout", Layout)
def test_every_layout_sells_on_every_call(layout: Layout, protocol: Protocol) -> None:
    with Sandbox({"layout": layout, "price": str(PRICE), "duration": 75}) as sandbox:
        buyer = seller(sandbox, protocol, mapping_of(layout))
        told = answers(buyer)
        buyer.close()
        book = sandbox.book()
    assert isinstance(told[Call.PING], Bid)
    assert (told[Call.PING].price, told[Call.PING].duration_s) == (PRICE, 75)
    sales = [told[call] for call in (Call.POST, Call.ONE_STEP, Call.DIRECT_POST)]
    assert all(isinstance(sale, Sale) and sale.price == PRICE for sale in sales)
    assert [sale.phone_number for sale in sales] == [sale["phone_number"] for sale in book["sales"]]
    assert book["violations"] == []


@pytest.mark.parametrize("layout", Layout)
def test_every_layout_refuses_with_every_code(layout: Layout, protocol: Protocol) -> None:
    for code in [*protocol.codes, 7777]:
        with Sandbox({"layout": layout, "rules": [{"code": code, "reason": "So we decided"}]}) as sandbox:
            buyer = seller(sandbox, protocol, mapping_of(layout))
            told = answers(buyer)
            buyer.close()
        told.pop(Call.POST)  # without a bid there is no token, which the sandbox says first
        assert set(told.values()) == {Refusal(code, "So we decided")}


@pytest.mark.parametrize("layout", ["opaque_xml", "foreign_json"])
def test_a_layout_of_strange_names_is_unreadable_without_its_mapping(
    layout: str, protocol: Protocol, mapping: AnswerMapping
) -> None:
    with Sandbox({"layout": layout}) as sandbox:
        buyer = seller(sandbox, protocol, mapping)
        told = answers(buyer)
        buyer.close()
    assert all(not isinstance(answer, Bid | Sale) for answer in told.values())
    assert isinstance(told[Call.ONE_STEP], Unreadable)


@pytest.mark.parametrize("method", ["form", "json", "get"])
@pytest.mark.parametrize("resptype", ["JSON", "XML", ""])
def test_every_method_and_format_sells_without_a_complaint(
    method: str, resptype: str, protocol: Protocol, mapping: AnswerMapping
) -> None:
    with Sandbox() as sandbox:
        buyer = seller(sandbox, protocol, mapping, method=method, resptype=resptype)
        told = answers(buyer)
        buyer.close()
        book = sandbox.book()
    assert [type(answer) for answer in told.values()] == [Bid, Sale, Sale, Sale]
    assert book["violations"] == []


@pytest.mark.parametrize("fault", Fault)
def test_no_fault_of_the_buyer_s_is_read_as_a_sale_or_a_refusal(
    fault: Fault, protocol: Protocol, mapping: AnswerMapping
) -> None:
    with Sandbox({"rules": [{"fault": fault, "pause_ms": 60_000}]}) as sandbox:
        buyer = seller(sandbox, protocol, mapping)
        exchange = buyer.ask(Call.ONE_STEP, Offer(LEAD | CALLER, "lead-1"), 0.5)
        buyer.close()
    assert isinstance(exchange.answer, Unanswered | Unreadable)
    assert not getattr(exchange.answer, "never_sent", False)


def test_a_sandbox_that_has_stopped_was_sent_nothing(protocol: Protocol, mapping: AnswerMapping) -> None:
    with Sandbox() as sandbox:
        buyer = seller(sandbox, protocol, mapping)
        assert isinstance(buyer.ask(Call.PING, Offer(LEAD, "lead-1"), 10).answer, Bid)
        sandbox.stop()
        answer = buyer.ask(Call.ONE_STEP, Offer(LEAD, "lead-1"), 10).answer
        buyer.close()
    assert answer == Unanswered("connection refused", never_sent=True)

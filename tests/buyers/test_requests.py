"""What a call sends: the buyer's table of fields, and where each value comes from."""

from __future__ import annotations

from typing import get_args

import pytest

from tasks.buyers.letsmakealead.wire import Sender, SendPrice
from tasks.core.protocol import Call, Protocol
from tests.buyers.offers import FULL, PROTOCOL, sent


@pytest.mark.parametrize("call", Call)
def test_a_call_carries_what_the_table_gives_it_and_nothing_else(call: Call, protocol: Protocol) -> None:
    table = [rule.name for rule in protocol.fields if rule.presence[call] != "no"]
    assert list(sent(call)) == table


def test_a_ping_carries_no_caller() -> None:
    for send_price in get_args(SendPrice):
        assert not sent(Call.PING, send_price).keys() & PROTOCOL.identity_fields


@pytest.mark.parametrize(
    ("call", "send_price", "carried"),
    [
        (Call.PING, "none", False),
        (Call.PING, "ping", True),
        (Call.PING, "post", False),
        (Call.PING, "both", True),
        (Call.POST, "none", False),
        (Call.POST, "ping", False),
        (Call.POST, "post", True),
        (Call.POST, "both", True),
        (Call.ONE_STEP, "both", False),
        (Call.DIRECT_POST, "none", True),
    ],
)
def test_a_price_is_sent_where_the_table_or_configuration_says_so(
    call: Call, send_price: SendPrice, carried: bool
) -> None:
    assert ("price" in sent(call, send_price)) is carried


def test_a_ping_without_a_floor_carries_no_price() -> None:
    assert "price" not in sent(Call.PING, "ping", price=None)


def test_values_come_from_where_the_table_says() -> None:
    fields = sent(Call.POST, "post")
    assert (fields["partnerid"], fields["key"], fields["customid"]) == ("XYZ", "secret", "lead-1")
    assert (fields["token"], fields["price"], fields["price_tag"]) == ("t-1", "12.50", "1")
    assert fields["firstname"] == "<firstname>"


def test_empty_values_are_left_out() -> None:
    fields = sent(Call.POST, resptype="", fields={**FULL, "city": ""})
    assert not {"resptype", "city"} & fields.keys()


def test_a_call_that_lacks_what_it_needs_is_not_made() -> None:
    with pytest.raises(ValueError, match="a post needs a token"):
        sent(Call.POST, token=None)
    with pytest.raises(ValueError, match="a direct_post needs a price"):
        sent(Call.DIRECT_POST, price=None)


def test_a_sender_s_repr_holds_no_key() -> None:
    assert "secret" not in repr(Sender("XYZ", "secret"))

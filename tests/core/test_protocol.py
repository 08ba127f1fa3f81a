from __future__ import annotations

import pytest

from tasks.core.protocol import Action, Call, Protocol


def test_every_call_but_the_ping_sells() -> None:
    assert {call for call in Call if call.sells} == {Call.POST, Call.ONE_STEP, Call.DIRECT_POST}


@pytest.mark.parametrize(
    ("number", "meaning", "action"),
    [
        (1000, "Server under maintenance", Action.WAIT),
        (1100, "Request limit exceeded", Action.SLOW),
        (2000, "Invalid Partner ID or Blocked source", Action.BLOCKED),
        (3000, "Approval Phase", Action.BLOCKED),
        (4000, "Daily Cap reached", Action.CAPPED),
        (5000, "No coverage or buyers", Action.REJECTED),
        (6000, "Minimum bid not met", Action.REJECTED),
    ],
)
def test_a_code_of_the_page_means_what_the_page_says(
    protocol: Protocol, number: int, meaning: str, action: Action
) -> None:
    code = protocol.code(number)
    assert (code.number, code.meaning, code.action, code.listed) == (number, meaning, action, True)


@pytest.mark.parametrize("number", [-1, 0, 1, 999, 1001, 7000, 10**12])
def test_any_other_code_is_final_and_asks_for_an_operator(protocol: Protocol, number: int) -> None:
    code = protocol.code(number)
    assert (code.number, code.meaning, code.action) == (number, "Ask Your Representative", Action.REJECTED)
    assert not code.listed


def test_no_field_of_the_caller_s_identity_stands_in_a_ping(protocol: Protocol) -> None:
    told = {rule.name for rule in protocol.fields if rule.presence[Call.PING] != "no"}
    assert not told & protocol.identity_fields
    assert {"firstname", "lastname", "address", "telephone", "email", "comments"} <= protocol.identity_fields


def test_a_producer_fills_in_the_fields_that_the_contract_names(protocol: Protocol) -> None:
    assert {rule.name for rule in protocol.lead_fields} == {
        "numcategory",
        "transfer_type",
        "zipcode",
        "subid",
        "state",
        "firstname",
        "lastname",
        "address",
        "city",
        "telephone",
        "email",
        "comments",
        "customid",
    }

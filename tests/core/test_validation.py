"""The contract's paragraph "A lead, as producers send it", sentence by sentence: what is valid."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tasks.core.lead import Flow
from tasks.core.money import Money
from tasks.core.protocol import Call, FieldRule, Protocol
from tasks.core.validation import Defaults, InvalidLead, read_lead

LEAST: dict[str, Any] = {
    "lead_id": "lead-1",
    "numcategory": 16001,
    "subid": "123",
    "transfer_type": 1,
    "zipcode": "33139",
}
WHOLE = LEAST | {
    "state": "FL",
    "firstname": "José María",
    "lastname": "O'Neill-Ørsted",
    "address": "1210 Ocean Drive, #4",
    "city": "Miami",
    "telephone": "+1 (877) 268-1223",
    "email": "john.doe@gmail.com",
    "comments": "Rear-ended.\nCall\tback.\r\n",
    "customid": "crm-7",
}


def test_the_least_lead_gets_its_defaults(protocol: Protocol, defaults: Defaults) -> None:
    lead = read_lead(LEAST, protocol, defaults)
    assert (lead.lead_id, lead.flow, lead.deadline_s) == ("lead-1", Flow.PING_POST, 20.0)
    assert (lead.created_at, lead.price) == (None, None)
    assert lead.fields == {"numcategory": "16001", "subid": "123", "transfer_type": "1", "zipcode": "33139"}


def test_a_whole_lead_is_kept_to_the_letter(protocol: Protocol, defaults: Defaults) -> None:
    lead = read_lead(WHOLE, protocol, defaults)
    assert lead.fields == {name: str(value) for name, value in WHOLE.items() if name != "lead_id"}


def test_what_a_lead_names_itself_wins_over_the_defaults(protocol: Protocol, defaults: Defaults) -> None:
    ours = {"flow": "direct_post", "price": "0.5", "deadline_s": 5, "created_at": "2026-11-23T13:00:00.5-05:00"}
    lead = read_lead(LEAST | ours, protocol, replace(defaults, subid="default"))
    assert (lead.flow, lead.price, lead.deadline_s) == (Flow.DIRECT_POST, Money.parse("0.5"), 5.0)
    assert lead.created_at == datetime(2026, 11, 23, 18, 0, 0, 500_000, tzinfo=UTC)
    assert lead.subid == "123"


def test_a_lead_without_a_sub_source_gets_the_default_one(protocol: Protocol, defaults: Defaults) -> None:
    given = {name: value for name, value in LEAST.items() if name != "subid"}
    assert read_lead(given, protocol, replace(defaults, subid="house")).subid == "house"


@pytest.mark.parametrize("name", sorted(WHOLE.keys() - LEAST.keys()))
def test_an_empty_optional_field_is_one_not_filled_in(name: str, protocol: Protocol, defaults: Defaults) -> None:
    assert name not in read_lead(LEAST | {name: ""}, protocol, defaults).fields


@pytest.mark.parametrize("name", ["numcategory", "transfer_type"])
def test_an_integer_may_come_as_a_string_of_digits(name: str, protocol: Protocol, defaults: Defaults) -> None:
    told = str(LEAST[name])
    assert read_lead(LEAST | {name: told}, protocol, defaults).fields[name] == told


@pytest.mark.parametrize("lead_id", ["x", "A" * 40, "Az09_.:-", "-", "..", "2026:11:23"])
def test_a_lead_id_is_one_to_forty_plain_characters(lead_id: str, protocol: Protocol, defaults: Defaults) -> None:
    assert read_lead(LEAST | {"lead_id": lead_id}, protocol, defaults).lead_id == lead_id


@pytest.mark.parametrize("flow", ["ping_post", "one_step", "direct_post"])
def test_a_lead_may_name_its_flow(flow: str, protocol: Protocol, defaults: Defaults) -> None:
    assert read_lead(LEAST | {"flow": flow}, protocol, defaults).flow == flow


@pytest.mark.parametrize(
    ("price", "told"), [("0.5", "0.50"), ("$9", "9.00"), (9, "9.00"), (0, "0.00"), (Decimal("0.15"), "0.15")]
)
def test_a_price_is_a_decimal_string_or_an_exact_number(
    price: object, told: str, protocol: Protocol, defaults: Defaults
) -> None:
    assert str(read_lead(LEAST | {"price": price}, protocol, defaults).price) == told


@pytest.mark.parametrize("deadline_s", [1, 3600, Decimal("0.5"), Decimal("1e-400")])
def test_a_deadline_is_kept_however_short(deadline_s: int | Decimal, protocol: Protocol, defaults: Defaults) -> None:
    assert read_lead(LEAST | {"deadline_s": deadline_s}, protocol, defaults).deadline_s == float(deadline_s)


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("2026-11-23T18:00:00Z", "2026-11-23T18:00:00+00:00"),
        ("2026-11-23t18:00:00z", "2026-11-23T18:00:00+00:00"),
        ("2026-11-23 18:00:00+00:00", "2026-11-23T18:00:00+00:00"),
        ("2026-11-23T18:00:00-00:00", "2026-11-23T18:00:00+00:00"),
        ("2026-11-23T23:30:00+05:30", "2026-11-23T18:00:00+00:00"),
        ("2026-11-23T18:00:00.123456789Z", "2026-11-23T18:00:00.123456+00:00"),
        ("2028-02-29T00:00:00Z", "2028-02-29T00:00:00+00:00"),
    ],
)
def test_a_time_of_rfc_3339_is_read_into_utc(told: str, meant: str, protocol: Protocol, defaults: Defaults) -> None:
    created_at = read_lead(LEAST | {"created_at": told}, protocol, defaults).created_at
    assert created_at is not None
    assert created_at.isoformat() == meant


@pytest.mark.parametrize("address", ["amq.rabbitmq.reply-to.x", "r", "q" * 255])
def test_a_reply_address_is_no_part_of_the_lead(address: str, protocol: Protocol, defaults: Defaults) -> None:
    assert read_lead(LEAST | {"reply_to": address}, protocol, defaults) == read_lead(LEAST, protocol, defaults)


@pytest.mark.parametrize("subid", ["Match", "match ", "rematch"])
def test_only_the_test_source_itself_is_the_test_source(subid: str, protocol: Protocol, defaults: Defaults) -> None:
    assert read_lead(LEAST | {"subid": subid}, protocol, defaults).subid == subid


def test_the_test_source_is_taken_in_test_mode(protocol: Protocol, defaults: Defaults) -> None:
    assert read_lead(LEAST | {"subid": "match"}, protocol, replace(defaults, test_mode=True)).subid == "match"


# What another vertical's table may hold


def rule(**differs: Any) -> FieldRule:
    return FieldRule(
        **{"name": "extra", "source": "lead", "presence": dict.fromkeys(Call, "optional"), "kind": "string"} | differs
    )


@pytest.mark.parametrize(
    ("row", "value", "fault"),
    [
        (rule(min_length=2), "x", "must have at least 2 characters"),
        (rule(min_length=2, max_length=3), "xxxx", "must have 2 to 3 characters"),
        (rule(kind="digits", min_length=3, max_length=4), "12", "must be a string of 3 to 4 digits"),
        (rule(kind="digits", max_length=4), "12345", "must be a string of at most 4 digits"),
        (rule(kind="digits", max_length=4), "12a", "must be a string of at most 4 digits"),
        (rule(allowed=("yes", "no")), "maybe", "must be one of yes, no"),
    ],
)
def test_a_row_of_another_table_is_held_to(
    row: FieldRule, value: str, fault: str, protocol: Protocol, defaults: Defaults
) -> None:
    other = replace(protocol, fields=(*protocol.fields, row))
    with pytest.raises(InvalidLead) as invalid:
        read_lead(LEAST | {"extra": value}, other, defaults)
    assert invalid.value.faults == [f"extra: {fault}"]


@pytest.mark.parametrize(
    ("row", "value"),
    [
        (rule(min_length=2), "xx"),
        (rule(kind="digits", min_length=3, max_length=4), "123"),
        (rule(kind="digits"), "1" * 1000),
        (rule(allowed=("yes", "no")), "no"),
    ],
)
def test_a_value_that_keeps_to_another_table_is_kept(
    row: FieldRule, value: str, protocol: Protocol, defaults: Defaults
) -> None:
    other = replace(protocol, fields=(*protocol.fields, row))
    assert read_lead(LEAST | {"extra": value}, other, defaults).fields["extra"] == value


def test_an_optional_field_of_another_table_may_be_empty_though_its_values_are_listed(
    protocol: Protocol, defaults: Defaults
) -> None:
    other = replace(protocol, fields=(*protocol.fields, rule(allowed=("yes", "no"), min_length=2)))
    assert "extra" not in read_lead(LEAST | {"extra": ""}, other, defaults).fields

"""The contract's paragraph "A lead, as producers send it", sentence by sentence: what is not, and how it is told."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from tasks.core.protocol import Protocol
from tasks.core.validation import Defaults, InvalidLead, read_lead

Faults = Callable[..., list[str]]

LEAST: dict[str, Any] = {
    "lead_id": "lead-1",
    "numcategory": 16001,
    "subid": "123",
    "transfer_type": 1,
    "zipcode": "33139",
}
LENGTHS = {
    "state": 2,
    "firstname": 50,
    "lastname": 50,
    "address": 100,
    "city": 100,
    "telephone": 50,
    "email": 50,
    "comments": 500,
    "customid": 50,
}


@pytest.fixture
def faults(protocol: Protocol, defaults: Defaults) -> Faults:
    """Give the faults of a least lead with these fields put in, and without those named in `without`."""

    def find(*without: str, **changed: object) -> list[str]:
        given = {name: value for name, value in {**LEAST, **changed}.items() if name not in without}
        with pytest.raises(InvalidLead) as invalid:
            read_lead(given, protocol, defaults)
        assert str(invalid.value) == "; ".join(invalid.value.faults)
        return invalid.value.faults

    return find


@pytest.mark.parametrize("name", ["lead_id", "numcategory", "subid", "transfer_type", "zipcode"])
def test_a_required_field_that_is_missing_is_named(name: str, faults: Faults) -> None:
    assert faults(name) == [f"{name}: required"]


@pytest.mark.parametrize("name", ["subid", "zipcode"])
def test_a_required_field_that_is_empty_is_missing(name: str, faults: Faults) -> None:
    assert faults(**{name: ""}) == [f"{name}: required"]


@pytest.mark.parametrize(("name", "length"), LENGTHS.items())
def test_the_longest_value_is_taken_whole(name: str, length: int, protocol: Protocol, defaults: Defaults) -> None:
    assert read_lead(LEAST | {name: "é" * length}, protocol, defaults).fields[name] == "é" * length


@pytest.mark.parametrize(("name", "length"), LENGTHS.items())
def test_a_value_too_long_by_one_is_refused_and_never_cut(name: str, length: int, faults: Faults) -> None:
    assert faults(**{name: "x" * (length + 1)}) == [f"{name}: must have at most {length} characters"]


@pytest.mark.parametrize("name", [*LENGTHS, "subid", "zipcode"])
@pytest.mark.parametrize("value", [None, True, 33139, Decimal("1.5"), ["x"], {"x": "y"}], ids=repr)
def test_a_string_field_takes_nothing_but_a_string(name: str, value: object, faults: Faults) -> None:
    assert faults(**{name: value}) == [f"{name}: must be a string"]


@pytest.mark.parametrize("name", ["numcategory", "transfer_type"])
@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        -1,
        10**9,
        10**5000,
        Decimal("1.0"),
        "",
        "1.0",
        "-1",
        "+1",
        " 1",
        "1_0",
        "٣",
        "²",
        "9" * 10,
        [1],
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_integer_field_takes_nothing_but_an_integer_or_its_digits(name: str, value: object, faults: Faults) -> None:
    assert faults(**{name: value}) == [f"{name}: must be an integer or a string of digits"]


@pytest.mark.parametrize("value", [0, 16000, 16006, "999999999"])
def test_a_category_must_stand_in_the_catalogue(value: object, faults: Faults) -> None:
    assert faults(numcategory=value) == ["numcategory: not a category of the catalogue"]


@pytest.mark.parametrize("value", [0, 3, "3", 999_999_999])
def test_a_transfer_is_inbound_or_transferred(value: object, faults: Faults) -> None:
    assert faults(transfer_type=value) == ["transfer_type: must be one of 1, 2"]


@pytest.mark.parametrize("value", ["3313", "331390", "33139-1", " 3313", "3313A", "३३१३९", "33.39", "-3313"])
def test_a_zip_code_is_exactly_five_digits(value: str, faults: Faults) -> None:
    assert faults(zipcode=value) == ["zipcode: must be a string of exactly 5 digits"]


@pytest.mark.parametrize(
    "character", ["\0", "\x1b", "\x7f", "\x85", "\u2028", "\u2029", "\ud800", chr(0xDFFF)], ids=ascii
)
@pytest.mark.parametrize("name", ["firstname", "comments", "subid", "zipcode", "reply_to"])
def test_a_control_character_or_half_a_character_is_refused(name: str, character: str, faults: Faults) -> None:
    assert faults(**{name: f"3{character}1"}) == [f"{name}: has a control character"]


@pytest.mark.parametrize("character", ["\n", "\r", "\t"], ids=ascii)
def test_only_comments_have_lines(character: str, faults: Faults) -> None:
    assert faults(lastname=f"Doe{character}") == ["lastname: has a control character"]


@pytest.mark.parametrize(
    "value", [None, "", "x" * 41, "a b", "a/b", "é", "lead-1\n", "lead-1 ", 7, True, ["lead-1"], "\ud800"], ids=ascii
)
def test_a_lead_id_of_any_other_shape_is_refused(value: object, faults: Faults) -> None:
    assert faults(lead_id=value) == ["lead_id: must be 1 to 40 characters of A-Za-z0-9_.:-"]


@pytest.mark.parametrize("value", [None, "", "PING_POST", "ping", 1, True, ["ping_post"], {"flow": 1}], ids=repr)
def test_a_flow_of_no_known_name_is_refused(value: object, faults: Faults) -> None:
    assert faults(flow=value) == ["flow: must be one of ping_post, one_step, direct_post"]


@pytest.mark.parametrize(
    "value",
    [None, True, -1, "-1", "", "free", 10**39, 10**5000, Decimal("0.0000001"), Decimal("1e-39"), Decimal("1e39"), [1]],
    ids=lambda value: type(value).__name__,
)
def test_a_price_that_is_no_amount_is_refused_and_never_rounded(value: object, faults: Faults) -> None:
    assert faults(price=value) == ["price: must be an amount of dollars, at most 100000, with at most six decimals"]


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -1, 3601, 10**5000, Decimal("3600.001"), "20", [20]],
    ids=lambda value: type(value).__name__,
)
def test_a_deadline_is_a_number_of_seconds_up_to_an_hour(value: object, faults: Faults) -> None:
    assert faults(deadline_s=value) == ["deadline_s: must be a number of seconds over 0 and up to 3600"]


@pytest.mark.parametrize(
    "value",
    [
        None,
        1_700_000_000,
        "",
        "now",
        "2026-11-23",
        "2026-11-23T18:00:00",
        "2026-11-23T18:00Z",
        "20261123T180000Z",
        "2026-W48-1T18:00:00Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T18:60:00Z",
        "2026-02-29T18:00:00Z",
        "2026-11-23T18:00:00+24:00",
        "2026-11-23T18:00:00+00:60",
        "2026-11-23T18:00:00+05:30:15",
        "2026-11-23T18:00:00.Z",
        "2026-11-23T18:00:00Z\n",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "２026-11-23T18:00:00Z",  # noqa: RUF001 - a digit of another script
    ],
)
def test_a_time_that_is_not_rfc_3339_with_an_offset_is_refused(value: object, faults: Faults) -> None:
    fault = "created_at: must be an RFC 3339 time with an offset, such as 2026-11-23T18:00:00Z"
    assert faults(created_at=value) == [fault]


@pytest.mark.parametrize("value", ["", "q" * 256])
def test_a_reply_address_has_a_queue_name_s_length(value: str, faults: Faults) -> None:
    assert faults(reply_to=value) == ["reply_to: must be a queue's name of 1 to 255 characters"]


def test_a_reply_address_is_a_string(faults: Faults) -> None:
    assert faults(reply_to=7) == ["reply_to: must be a string"]


def test_the_test_source_with_a_live_key_is_refused(faults: Faults) -> None:
    assert faults(subid="match") == ["subid: the buyer's test source, which a live key may not use"]


@pytest.mark.parametrize("name", ["first_name", "Zipcode", "partnerid", "key", "token", "price_tag", "resptype", "_x"])
def test_a_field_that_we_do_not_know_is_named(name: str, faults: Faults) -> None:
    assert faults(**{name: "x"}) == [f"{name}: unknown field"]


@pytest.mark.parametrize(
    "name", ["", "john.doe@gmail.com", "8772681223", "John Doe", "1210 Ocean Drive", "\x1b[2J", "\ud800", "x" * 41, "é"]
)
def test_a_field_whose_name_is_none_is_told_by_its_place(name: str, faults: Faults) -> None:
    assert faults(**{name: "x"}) == ["(field 6, whose name is not fit to be shown): unknown field"]


def test_every_fault_is_named_at_once(faults: Faults) -> None:
    found = faults(
        "lead_id",
        "subid",
        numcategory="x",
        transfer_type=3,
        zipcode=33139,
        state="Florida",
        flow="x",
        price="x",
        deadline_s=0,
        created_at="x",
        reply_to="",
        ssn="x",
    )
    assert sorted(fault.partition(":")[0] for fault in found) == [
        "created_at",
        "deadline_s",
        "flow",
        "lead_id",
        "numcategory",
        "price",
        "reply_to",
        "ssn",
        "state",
        "subid",
        "transfer_type",
        "zipcode",
    ]


@pytest.mark.parametrize(
    "name", [*LEAST, *LENGTHS, "flow", "price", "deadline_s", "created_at", "reply_to", "unheard_of"]
)
def test_a_value_nested_beyond_the_stack_is_an_ordinary_fault(name: str, faults: Faults) -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    (fault,) = faults(**{name: nested})
    assert fault.startswith(f"{name}: ")

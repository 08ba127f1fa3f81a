from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.jsonobject import parse
from tasks.core.lead import Flow, Lead
from tasks.core.protocol import FieldRule, Protocol
from tasks.core.validation import OURS, Defaults, InvalidLead, read_lead

# Letters, digits, signs and emoji of every script, but nothing that controls.
line = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"])
LEAST: dict[str, Any] = {
    "lead_id": "lead-1",
    "numcategory": 16001,
    "subid": "123",
    "transfer_type": 1,
    "zipcode": "33139",
}
# For each kind of field, values that break its rule.
BROKEN: dict[str, list[Any]] = {
    "string": [None, True, 7, ["x"], {"x": 1}, "a\0b", "\ud800", "x" * 5000],
    "text": [None, True, 7, ["x"], {"x": 1}, "a\0b", "\ud800", "x" * 5000],
    "integer": [None, True, -1, 10**400, "x", "٣", 1.5, [1], "9" * 5000],
    "digits": [None, True, 33139, "3313", "331390", "3313A", "٣٣١٣٩", ["33139"]],
}
BROKEN_OF_OURS: dict[str, list[Any]] = {
    "lead_id": [None, "", "x" * 41, "a b", 7, ["x"], "\ud800"],
    "flow": [None, "", "PING", 7, ["ping_post"], "\ud800"],
    "price": [None, "", "-1", -1, True, 10**400, "0.0000001", [1]],
    "deadline_s": [None, 0, -1, 3601, True, "20", 10**400, [1]],
    "created_at": [None, "", "now", 0, "2026-11-23T18:00:00", ["x"]],
    "reply_to": [None, "", "x" * 256, 7, "a\nb", ["x"]],
}

# Every sentence that a fault may hold. It is a closed list: so no value can stand in one.
SENTENCES = re.compile(
    r"""
    required | unknown\ field | must\ be\ a\ string | has\ a\ control\ character
    | must\ be\ an\ integer\ or\ a\ string\ of\ digits | not\ a\ category\ of\ the\ catalogue
    | must\ be\ a\ string\ of\ exactly\ 5\ digits | must\ have\ at\ most\ (2|50|100|500)\ characters
    | must\ be\ one\ of\ 1,\ 2 | must\ be\ one\ of\ ping_post,\ one_step,\ direct_post
    | must\ be\ 1\ to\ 40\ characters\ of\ A-Za-z0-9_\.:-
    | must\ be\ an\ amount\ of\ dollars,\ at\ most\ 100000,\ with\ at\ most\ six\ decimals
    | must\ be\ a\ number\ of\ seconds\ over\ 0\ and\ up\ to\ 3600
    | must\ be\ an\ RFC\ 3339\ time\ with\ an\ offset,\ such\ as\ 2026-11-23T18:00:00Z
    | must\ be\ a\ queue's\ name\ of\ 1\ to\ 255\ characters
    | the\ buyer's\ test\ source,\ which\ a\ live\ key\ may\ not\ use
    """,
    re.VERBOSE,
)
HIDDEN_NAME = re.compile(r"\(field \d+, whose name is not fit to be shown\)")

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
anything = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)


def required(rule: FieldRule) -> bool:
    return "required" in rule.presence.values()


def fitting(rule: FieldRule, protocol: Protocol) -> st.SearchStrategy[str]:
    """Draw values that keep to the rule, the longest and the strangest among them."""
    if rule.name == "numcategory":
        return st.sampled_from(sorted(protocol.categories)).map(str)
    if rule.allowed:
        return st.sampled_from(rule.allowed)
    if rule.kind == "digits":
        return st.text("0123456789", min_size=rule.min_length, max_size=rule.max_length)
    alphabet = line | st.sampled_from("\n\r\t") if rule.kind == "text" else line
    text = st.text(alphabet, min_size=max(1, rule.min_length), max_size=rule.max_length)
    return text.filter(lambda value: value != protocol.test_subid)


def valid_fields(protocol: Protocol) -> st.SearchStrategy[dict[str, str]]:
    rows = {rule.name: fitting(rule, protocol) for rule in protocol.lead_fields}
    always = {rule.name: rows[rule.name] for rule in protocol.lead_fields if required(rule)}
    return st.fixed_dictionaries(always, optional={name: row for name, row in rows.items() if name not in always})


def faults_of(given_: dict[str, Any], protocol: Protocol, defaults: Defaults) -> list[str]:
    try:
        read_lead(given_, protocol, defaults)
    except InvalidLead as invalid:
        return invalid.faults
    return []


@given(st.data(), st.booleans())
def test_a_valid_lead_is_kept_to_the_letter_from_its_bytes_on(
    protocol: Protocol, defaults: Defaults, data: st.DataObject, ascii_only: bool
) -> None:
    fields = data.draw(valid_fields(protocol))
    body = json.dumps({"lead_id": "lead-1"} | fields, ensure_ascii=ascii_only).encode()
    lead = read_lead(parse(body, protocol.answer_bytes), protocol, defaults)
    assert lead == Lead("lead-1", defaults.flow, fields, defaults.deadline_s)


@given(
    st.from_regex(r"[A-Za-z0-9_.:-]{1,40}", fullmatch=True),
    st.sampled_from(Flow),
    st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.timezones()),  # noqa: DTZ001 - zones are drawn
    st.integers(1, 3600),
)
def test_what_is_ours_in_a_lead_is_read_as_it_was_meant(
    protocol: Protocol, defaults: Defaults, lead_id: str, flow: Flow, created_at: datetime, deadline_s: int
) -> None:
    told = created_at.isoformat()
    ours = {"lead_id": lead_id, "flow": flow.value, "deadline_s": deadline_s, "created_at": told}
    if re.search(r"[+-]\d\d:\d\d$", told) is None:  # an old zone's seconds are beyond RFC 3339
        ours["created_at"] = created_at.astimezone(UTC).isoformat()
    lead = read_lead(LEAST | ours, protocol, defaults)
    assert (lead.lead_id, lead.flow, lead.deadline_s) == (lead_id, flow, deadline_s)
    # Two zones may disagree on a moment that comes twice, when clocks are set back: in UTC there is but one.
    assert lead.created_at == created_at.astimezone(UTC)


@given(st.data())
def test_exactly_the_broken_fields_are_named_and_all_at_once(
    protocol: Protocol, defaults: Defaults, data: st.DataObject
) -> None:
    kinds = {rule.name: rule.kind for rule in protocol.lead_fields}
    # A sub source has room for 100 characters, the longest field for 500: 5000 are too many for each.
    names = data.draw(st.sets(st.sampled_from([*kinds, *sorted(OURS)]), min_size=1))
    broken = {
        name: data.draw(st.sampled_from(BROKEN[kinds[name]] if name in kinds else BROKEN_OF_OURS[name]))
        for name in sorted(names)
    }
    faults = faults_of(LEAST | broken, protocol, defaults)
    assert sorted(fault.partition(": ")[0] for fault in faults) == sorted(names)


@given(st.data())
def test_whatever_an_object_holds_it_is_a_lead_or_its_faults_in_sentences_of_ours(
    protocol: Protocol, defaults: Defaults, data: st.DataObject
) -> None:
    known = OURS | {rule.name for rule in protocol.lead_fields}
    given_ = data.draw(st.dictionaries(st.sampled_from(sorted(known)) | st.text(), anything))
    for fault in faults_of(given_, protocol, defaults):
        name, _, sentence = fault.partition(": ")
        assert SENTENCES.fullmatch(re.sub(r"\s+", " ", sentence)), fault
        assert name in given_ or sentence == "required" or HIDDEN_NAME.fullmatch(name)


@given(st.data())
def test_no_fault_holds_a_value_that_the_producer_gave(
    protocol: Protocol, defaults: Defaults, data: st.DataObject
) -> None:
    mark = data.draw(st.sampled_from(["Zq7Jx", "8772681223", "qz@xj.example"]))
    shapes = [mark, mark * 200, f"{mark}\0", f"{mark}\ud800", [mark], {mark: mark}, [[[{mark: [mark]}]]], f"$ {mark}"]
    if mark.isdigit():
        shapes += [int(mark), -int(mark), int(mark * 30), int(mark) / 7]
    names = [rule.name for rule in protocol.lead_fields] + sorted(OURS) + ["ssn"]
    given_ = LEAST | data.draw(st.dictionaries(st.sampled_from(names), st.sampled_from(shapes), min_size=1))
    assert mark not in "; ".join(faults_of(given_, protocol, defaults))


@pytest.mark.parametrize("name", ["john.doe@gmail.com", "8772681223", "1210 Ocean Drive", "John Doe"])
@given(st.permutations(sorted(LEAST)))
def test_a_caller_s_data_in_the_place_of_a_heading_is_not_told(
    protocol: Protocol, defaults: Defaults, name: str, order: list[str]
) -> None:
    place = order.index("lead_id") + 1
    names = [name if field == "lead_id" else field for field in order]
    faults = faults_of({field: LEAST.get(field) for field in names}, protocol, defaults)
    assert faults == [f"(field {place}, whose name is not fit to be shown): unknown field", "lead_id: required"]


@given(st.data())
def test_a_lead_s_fingerprint_is_its_content_s(protocol: Protocol, defaults: Defaults, data: st.DataObject) -> None:
    one, other = (data.draw(valid_fields(protocol)) for _ in range(2))
    leads = [read_lead({"lead_id": "lead-1"} | fields, protocol, defaults) for fields in (one, other)]
    assert (leads[0].fingerprint() == leads[1].fingerprint()) == (one == other)
    anew = read_lead({"deadline_s": 5, "reply_to": "q", **one, "lead_id": "lead-1"}, protocol, defaults)
    assert anew.fingerprint() == leads[0].fingerprint()

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tasks.core.money import LARGEST, Money
from tasks.core.outcome import Outcome, Stage, Status

text = st.text(st.characters(codec="utf-8"), max_size=600)
times = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - Hypothesis adds the zone
money = st.integers(0, LARGEST).map(Money)
outcomes = st.builds(
    Outcome,
    lead_id=st.from_regex(r"[A-Za-z0-9_.:-]{1,40}", fullmatch=True),
    status=st.sampled_from(Status),
    stage=st.sampled_from(Stage),
    at=times,
    numcategory=st.none() | st.integers(0),
    subid=st.none() | text,
    customid=st.none() | text,
    phone_number=st.none() | text,
    forward_by=st.none() | times,
    price_quoted=st.none() | money,
    price_confirmed=st.none() | money,
    duration_s=st.none() | st.integers(0),
    token=st.none() | text,
    code=st.none() | st.integers(),
    reason=st.none() | text,
    test=st.booleans(),
)
COMPUTED = {"price", "late", "replayed"}


@given(outcomes, st.none() | times, st.booleans())
def test_a_message_is_plain_json_with_nothing_null_and_no_float(
    outcome: Outcome, now: datetime | None, replayed: bool
) -> None:
    told = outcome.message(now=now, replayed=replayed)
    assert json.loads(json.dumps(told)) == told
    assert all(type(value) in (str, int, bool) for value in told.values())


@given(outcomes, st.none() | times)
def test_every_fact_that_is_known_is_told_and_no_other(outcome: Outcome, now: datetime | None) -> None:
    facts = {fact.name: getattr(outcome, fact.name) for fact in fields(outcome)}
    known = {name for name, value in facts.items() if value is not None and value is not False}
    told = set(outcome.message(now=now)) - COMPUTED
    assert told == known - ({"reason"} if outcome.reason == "" else set())


@given(outcomes)
def test_the_price_told_is_one_of_the_prices_known_the_confirmed_before_the_quoted(outcome: Outcome) -> None:
    told = outcome.message()
    assert told.get("price") == told.get("price_confirmed", told.get("price_quoted"))


@given(outcomes, times, st.booleans())
def test_told_at_any_time_an_outcome_is_the_same_but_for_late_and_replayed(
    outcome: Outcome, now: datetime, replayed: bool
) -> None:
    told = outcome.message(now=now, replayed=replayed)
    assert told.pop("replayed", False) is replayed
    assert told.pop("late", False) is (outcome.forward_by is not None and now > outcome.forward_by)
    assert told == outcome.message()


@given(outcomes, st.integers(0, 10_000), times)
def test_once_late_always_late(outcome: Outcome, seconds: int, now: datetime) -> None:
    assert outcome.is_late(now) <= outcome.is_late(now + timedelta(seconds=seconds))


@given(outcomes, st.text(min_size=501, max_size=2000))
def test_a_long_reason_keeps_its_beginning(outcome: Outcome, reason: str) -> None:
    assert replace(outcome, reason=reason).message()["reason"] == reason[:500]

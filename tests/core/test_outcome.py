from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tasks.core.money import Money
from tasks.core.outcome import Outcome, Stage, Status

AT = datetime(2026, 11, 23, 18, 0, 0, 123_999, tzinfo=UTC)
BARE = Outcome("lead-1", Status.EXPIRED, Stage.PING, AT)
SOLD = Outcome(
    "lead-1",
    Status.SOLD,
    Stage.POST,
    AT,
    numcategory=16001,
    subid="123",
    customid="crm-7",
    phone_number="8005550100",
    forward_by=AT + timedelta(seconds=30),
    price_quoted=Money.parse("12.5"),
    price_confirmed=Money.parse("12.25"),
    duration_s=90,
    token="e694",
    code=0,
    reason="sold to a firm",
)


def test_a_sale_is_told_whole() -> None:
    assert SOLD.message() == {
        "lead_id": "lead-1",
        "status": "sold",
        "stage": "post",
        "at": "2026-11-23T18:00:00.123Z",
        "numcategory": 16001,
        "subid": "123",
        "customid": "crm-7",
        "phone_number": "8005550100",
        "forward_by": "2026-11-23T18:00:30.123Z",
        "price_quoted": "12.50",
        "price_confirmed": "12.25",
        "price": "12.25",
        "duration_s": 90,
        "token": "e694",
        "code": 0,
        "reason": "sold to a firm",
    }


def test_what_is_not_known_is_absent() -> None:
    assert BARE.message(now=AT) == {
        "lead_id": "lead-1",
        "status": "expired",
        "stage": "ping",
        "at": "2026-11-23T18:00:00.123Z",
    }


@pytest.mark.parametrize(
    ("quoted", "confirmed", "price"),
    [
        (None, None, None),
        ("9", None, "9.00"),
        (None, "8", "8.00"),
        ("9", "8", "8.00"),
        ("9", "0", "0.00"),
    ],
)
def test_the_price_is_the_confirmed_one_else_the_quoted(
    quoted: str | None, confirmed: str | None, price: str | None
) -> None:
    outcome = replace(
        BARE,
        price_quoted=Money.parse(quoted) if quoted else None,
        price_confirmed=Money.parse(confirmed) if confirmed else None,
    )
    assert outcome.message().get("price") == price


@pytest.mark.parametrize(("after_s", "late"), [(0, False), (30, False), (30.001, True), (3600, True)])
def test_a_sale_is_late_once_the_time_to_forward_has_passed(after_s: float, *, late: bool) -> None:
    now = AT + timedelta(seconds=after_s)
    assert SOLD.is_late(now) is late
    assert SOLD.message(now=now).get("late", False) is late


def test_an_outcome_that_forwards_nobody_is_never_late() -> None:
    assert not BARE.is_late(AT + timedelta(days=1))


def test_a_replay_says_so_and_is_the_same_otherwise() -> None:
    assert SOLD.message(replayed=True) == SOLD.message() | {"replayed": True}


def test_a_sale_of_test_mode_says_so() -> None:
    assert replace(SOLD, test=True).message() == SOLD.message() | {"test": True}


@pytest.mark.parametrize(("length", "told"), [(499, 499), (500, 500), (501, 500), (100_000, 500)])
def test_a_reason_is_cut_at_five_hundred_characters(length: int, told: int) -> None:
    assert replace(BARE, reason="é" * length).message()["reason"] == "é" * told


def test_an_empty_reason_is_no_reason() -> None:
    assert "reason" not in replace(BARE, reason="").message()


@pytest.mark.parametrize("status", Status)
def test_every_status_is_told_by_its_word_in_the_contract(status: Status) -> None:
    assert replace(BARE, status=status).message()["status"] == status.name.lower()

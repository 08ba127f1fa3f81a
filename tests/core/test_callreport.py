"""What upstream tells of a call: read, or refused with every fault."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tasks.core.callreport import CLOCKS_APART, CallReport, InvalidReport, doubt, read_report

AT = datetime(2026, 11, 23, 18, 0, 12, 345_000, tzinfo=UTC)
GOOD: dict[str, Any] = {"lead_id": "L1", "forwarded_at": "2026-11-23T13:00:12.345678-05:00", "duration_s": 75}
WHO = "Ana Zoltanova"


def test_a_report_is_read_in_utc_to_the_millisecond() -> None:
    assert read_report(GOOD) == CallReport("L1", AT, 75_000)


@pytest.mark.parametrize(
    ("duration_s", "duration_ms"),
    [(0, 0), (Decimal("59.9999"), 59_999), (Decimal("6E+1"), 60_000), (86_400, 86_400_000)],
)
def test_a_duration_may_have_a_fraction_and_is_never_rounded_up(duration_s: object, duration_ms: int) -> None:
    assert read_report(GOOD | {"duration_s": duration_s}).duration_ms == duration_ms


@pytest.mark.parametrize("given", [{}, {"duration_s": None}, {"duration_s": 0}, {"duration_s": Decimal("0.0")}])
def test_a_call_that_was_never_forwarded_has_no_time_and_no_duration(given: dict[str, Any]) -> None:
    assert read_report({"lead_id": "L1", "forwarded_at": None} | given) == CallReport("L1", None, 0)


def test_what_else_upstream_has_to_say_is_passed_over() -> None:
    assert read_report(GOOD | {"agent": WHO}) == read_report(GOOD)


LEAD_ID = "lead_id: must be 1 to 40 characters of A-Za-z0-9_.:-"
TIME = "forwarded_at: must be an RFC 3339 time with an offset, such as 2026-11-23T18:00:00Z"
SECONDS = "duration_s: must be a number of seconds from 0 to 86400"


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        *(({"lead_id": value}, LEAD_ID) for value in (None, 7, "", WHO, "x" * 41, ["L1"])),
        *(
            ({"forwarded_at": value}, TIME)
            for value in (1, True, "", WHO, "2026-11-23", "2026-11-23T18:00:00", "2026-02-30T18:00:00Z", {})
        ),
        *(
            ({"duration_s": value}, SECONDS)
            for value in (-1, Decimal("-0.001"), 86_401, 10**30, "75", True, None, [], Decimal("1e40"))
        ),
        *(
            ({"forwarded_at": None, "duration_s": value}, "duration_s: must be 0 where the caller was never forwarded")
            for value in (75, "75", False, WHO)
        ),
    ],
)
def test_a_broken_field_is_named_and_its_value_is_not(given: dict[str, Any], fault: str) -> None:
    with pytest.raises(InvalidReport) as refused:
        read_report(GOOD | given)
    assert str(refused.value) == fault


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(InvalidReport) as refused:
        read_report({"telephone": "8772681223"})
    never = "forwarded_at: required (null: the caller was never forwarded)"
    assert str(refused.value) == f"{LEAD_ID}; {never}; duration_s: required"


@pytest.mark.parametrize(
    ("forwarded_at", "why"),
    [
        (None, None),
        (AT, None),
        (AT + timedelta(hours=1) + CLOCKS_APART, None),
        (AT + timedelta(hours=1, milliseconds=1) + CLOCKS_APART, "forwarded_at: in the future"),
        (AT - CLOCKS_APART, None),
        (AT - CLOCKS_APART - timedelta(milliseconds=1), "forwarded_at: before the lead was sold"),
    ],
)
def test_a_time_that_cannot_be_true_is_doubted(forwarded_at: datetime | None, why: str | None) -> None:
    """Clocks may be a minute apart; beyond that a report says nothing of a window of 30 seconds."""
    assert doubt(CallReport("L1", forwarded_at, 0), sold_at=AT, now=AT + timedelta(hours=1)) == why

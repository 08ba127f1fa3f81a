"""Whether a payout is due, by what upstream told of the call."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tasks.core.callreport import CallReport
from tasks.core.payout import Loss, Payout, Standing, judge

BY = datetime(2026, 11, 23, 18, 0, 30, tzinfo=UTC)
MS = timedelta(milliseconds=1)
DUE = Payout(Standing.DUE)


def lost(why: Loss) -> Payout:
    return Payout(Standing.LOST, why)


@pytest.mark.parametrize(
    ("forwarded_at", "duration_ms", "payout"),
    [
        (BY, 60_000, DUE),
        (BY - timedelta(seconds=30), 3_600_000, DUE),
        (BY + MS, 60_000, lost(Loss.TOO_LATE)),
        (BY, 59_999, lost(Loss.TOO_SHORT)),
        (BY, 0, lost(Loss.TOO_SHORT)),
        (BY + MS, 0, lost(Loss.TOO_LATE)),
        (None, 0, lost(Loss.NOT_FORWARDED)),
    ],
)
def test_a_payout_is_due_where_the_call_was_in_time_and_long_enough(
    forwarded_at: datetime | None, duration_ms: int, payout: Payout
) -> None:
    """Both bounds are included; the first reason is told."""
    assert judge(CallReport("L1", forwarded_at, duration_ms), forward_by=BY, minimum_s=60) == payout


def test_without_a_report_it_is_open() -> None:
    assert judge(None, forward_by=BY, minimum_s=60) == Payout(Standing.OPEN)


def test_where_the_buyer_asked_for_no_duration_any_call_is_long_enough() -> None:
    assert judge(CallReport("L1", BY, 0), forward_by=BY, minimum_s=None) == DUE

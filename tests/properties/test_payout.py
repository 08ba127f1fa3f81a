from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from tasks.core.callreport import LONGEST_CALL_S, CallReport, InvalidReport, read_report
from tasks.core.outcome import rfc3339
from tasks.core.payout import Loss, Standing, judge

BY = datetime(2026, 11, 23, 18, 0, 30, tzinfo=UTC)
offsets = st.integers(-3_600_000, 3_600_000) | st.integers(-2, 2)
durations = st.integers(0, LONGEST_CALL_S * 1000)
minimums = st.none() | st.integers(0, LONGEST_CALL_S)
reports = st.builds(
    lambda late_ms, ms: CallReport("L1", None if late_ms is None else BY + timedelta(milliseconds=late_ms), ms),
    st.none() | offsets,
    durations,
)


@given(reports, minimums)
def test_a_payout_is_due_only_in_time_and_long_enough_and_a_loss_has_its_reason(
    report: CallReport, minimum_s: int | None
) -> None:
    payout = judge(report, forward_by=BY, minimum_s=minimum_s)
    in_time = report.forwarded_at is not None and report.forwarded_at <= BY
    long_enough = report.duration_ms >= 1000 * (minimum_s or 0)
    assert payout.standing is (Standing.DUE if in_time and long_enough else Standing.LOST)
    assert (payout.why is None) is (payout.standing is Standing.DUE)
    assert (payout.why is Loss.NOT_FORWARDED) is (report.forwarded_at is None)


@given(reports, minimums, st.integers(0, 3_600_000))
def test_an_earlier_and_a_longer_call_never_loses_what_was_due(
    report: CallReport, minimum_s: int | None, more_ms: int
) -> None:
    if judge(report, forward_by=BY, minimum_s=minimum_s).standing is not Standing.DUE or report.forwarded_at is None:
        return
    better = CallReport("L1", report.forwarded_at - timedelta(milliseconds=more_ms), report.duration_ms + more_ms)
    assert judge(better, forward_by=BY, minimum_s=minimum_s).standing is Standing.DUE


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - Hypothesis adds it
    st.decimals(0, LONGEST_CALL_S, places=3),
)
def test_a_report_is_read_as_it_was_meant(forwarded_at: datetime, duration_s: Decimal) -> None:
    report = read_report({"lead_id": "L1", "forwarded_at": forwarded_at.isoformat(), "duration_s": duration_s})
    assert report.forwarded_at is not None
    assert rfc3339(report.forwarded_at) == rfc3339(forwarded_at)
    assert Decimal(report.duration_ms) == duration_s * 1000


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=3,
)


@given(st.dictionaries(st.sampled_from(["lead_id", "forwarded_at", "duration_s"]) | st.text(), anything))
def test_whatever_is_told_is_a_report_or_is_refused(told: dict[str, object]) -> None:
    with suppress(InvalidReport):
        assert 0 <= read_report(told).duration_ms <= LONGEST_CALL_S * 1000

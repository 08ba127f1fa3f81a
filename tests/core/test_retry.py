from __future__ import annotations

import math

import pytest

from tasks.core.retry import backoff, delay


@pytest.mark.parametrize(
    ("attempt", "least", "most"),
    [(1, 0.1, 0.2), (2, 0.2, 0.4), (3, 0.4, 0.8), (5, 1.6, 3.2), (6, 2.0, 4.0), (7, 2.0, 4.0), (10_000, 2.0, 4.0)],
)
def test_the_wait_doubles_up_to_a_bound_and_half_of_it_is_chance(attempt: int, least: float, most: float) -> None:
    assert backoff(attempt, 0.0) == pytest.approx(least)
    assert backoff(attempt, 1.0) == pytest.approx(most)


@pytest.mark.parametrize(
    ("remaining_s", "retry_after_s", "wait_s"),
    [
        pytest.param(20.0, None, 0.15, id="no wish of the buyer's: our own backoff"),
        pytest.param(20.0, 3.0, 3.0, id="the buyer's wish"),
        pytest.param(20.0, 0.0, 0.1, id="at once is too soon"),
        pytest.param(20.0, -5.0, 0.1, id="a wish in the past"),
        pytest.param(20.0, 3600.0, 20.0, id="beyond the deadline"),
        pytest.param(20.0, math.inf, 20.0, id="for ever"),
        pytest.param(20.0, math.nan, 0.1, id="no number"),
        pytest.param(0.12, None, 0.12, id="our own backoff beyond the deadline"),
        pytest.param(0.0, 3.0, 0.1, id="nothing remains"),
        pytest.param(-4.0, 3.0, 0.1, id="less than nothing remains"),
    ],
)
def test_the_buyer_s_wish_is_kept_between_a_tenth_of_a_second_and_what_remains(
    remaining_s: float, retry_after_s: float | None, wait_s: float
) -> None:
    assert delay(1, remaining_s, 0.5, retry_after_s) == pytest.approx(wait_s)

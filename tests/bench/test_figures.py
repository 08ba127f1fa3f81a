"""The arithmetic: ratios pair by pair, their spread, percentiles, bars and goals, and what counts as a change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.bench.figures import Spread, Worth, change, percentile, ratios, worth

VALUES = st.lists(st.floats(0.01, 1e6), min_size=1, max_size=50)


def test_what_slows_a_round_down_leaves_its_ratio_as_it_is():
    assert ratios([100, 50, 25], [200, 100, 50]) == [0.5, 0.5, 0.5]


def test_rounds_without_their_counterpart_are_a_mistake():
    with pytest.raises(ValueError, match="shorter"):
        ratios([1, 2], [1])


@given(VALUES)
def test_the_median_lies_inside_the_spread(values):
    spread = Spread.of(values)
    assert spread.low <= spread.median <= spread.high
    assert {spread.low, spread.high} <= set(values)


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (99, 99), (100, 100), (0.1, 1)])
def test_a_percentile_is_one_of_the_values(percent, expected):
    assert percentile(list(range(100, 0, -1)), percent) == expected


@given(VALUES, st.floats(0, 100))
def test_so_many_percent_do_not_exceed_a_percentile(values, percent):
    found = percentile(values, percent)
    assert sum(value <= found for value in values) >= len(values) * percent / 100


@pytest.mark.parametrize(
    ("value", "better", "expected"),
    [
        (0.89, "higher", Worth.MISSED),
        (0.9, "higher", Worth.BAR),
        (1.3, "higher", Worth.GOAL),
        (2.6, "lower", Worth.MISSED),
        (2.5, "lower", Worth.BAR),
        (1.5, "lower", Worth.GOAL),
    ],
)
def test_what_stands_on_the_bar_has_reached_it(value, better, expected):
    bar, goal = (0.9, 1.3) if better == "higher" else (2.5, 1.5)
    assert worth(value, better, bar, goal) is expected


def test_a_change_is_one_only_beyond_both_spreads():
    before = Spread(1.0, 0.9, 1.1)
    assert change(before, Spread(1.2, 1.05, 1.3), "higher") is None
    assert change(before, Spread(1.2, 1.11, 1.3), "higher") == "better"
    assert change(before, Spread(1.2, 1.11, 1.3), "lower") == "worse"
    assert change(before, Spread(0.8, 0.7, 0.89), "higher") == "worse"
    assert change(before, Spread(0.8, 0.7, 0.89), "lower") == "better"

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.report.plots import Bar, Plot, Slot, columns, line, overlaid

amounts = st.floats(0, 1e7).map(lambda value: round(value, 6))
stacks = st.integers(1, 4).flatmap(
    lambda series: st.lists(st.lists(amounts, min_size=series, max_size=series), min_size=1, max_size=80)
)


def slots(values: list[list[float]]) -> list[Slot]:
    return [Slot(f"Nov {place}", "", tuple(each)) for place, each in enumerate(values)]


def in_slot(plot: Plot, place: int) -> list[Bar]:
    x = plot.words[place][0]
    return [bar for bar in plot.bars if x <= bar.x < x + plot.slot - 1e-6]


@given(stacks)
def test_the_bars_of_a_stack_stand_on_one_another_from_zero_up_and_stay_in_the_plot(values: list[list[float]]) -> None:
    plot = columns(slots(values), str)
    assert len(plot.bars) == sum(1 for each in values for value in each if value)
    for place in range(len(values)):
        bars = in_slot(plot, place)
        for lower, upper in pairwise([Bar(0, plot.zero, 0, 0, -1), *bars]):
            # A bar is at least a pixel high, also where its value is less.
            assert upper.y + upper.height == pytest.approx(lower.y, abs=1.02)
        assert all(0 <= bar.y <= plot.height and bar.x + bar.width <= 100.01 for bar in bars)


@given(st.lists(st.floats(-1e6, 1e6).map(lambda value: round(value, 6)), min_size=1, max_size=40))
def test_a_loss_hangs_below_zero(values: list[float]) -> None:
    plot = columns(slots([[value] for value in values]), str, height=60)
    drawn = [value for value in values if value]
    for bar, value in zip(plot.bars, drawn, strict=True):
        assert (bar.y if value < 0 else bar.y + bar.height) == pytest.approx(plot.zero, abs=1.02)
    assert 0 <= plot.zero <= plot.height


@given(stacks, st.sampled_from([60, 105, 180, 250]))
def test_the_marks_of_an_axis_are_even_and_hold_every_value(values: list[list[float]], height: int) -> None:
    marks: list[float] = []
    plot = columns(slots(values), lambda mark: marks.append(mark) or "", height=height)
    assert max(marks) >= max(map(sum, values)) * (1 - 1e-9)
    assert 2 <= len(plot.grid) <= height // 45 + 2
    gaps = [left.at - right.at for left, right in pairwise(plot.grid)]
    assert gaps == pytest.approx([gaps[0]] * len(gaps), abs=0.02)


def test_what_is_counted_has_no_marks_of_halves() -> None:
    marks: list[float] = []
    columns(slots([[1], [2]]), lambda mark: marks.append(mark) or "", whole=True)
    assert marks == [0, 1, 2]


def test_the_second_of_two_stands_slim_in_front_of_the_first() -> None:
    broad, slim = overlaid(slots([[10, 9]]), str).bars
    assert (broad.series, slim.series) == (0, 1)
    assert broad.x < slim.x < slim.x + slim.width < broad.x + broad.width
    assert slim.height == pytest.approx(broad.height * 0.9, abs=0.01)


def test_a_line_has_a_gap_where_there_is_no_value_and_a_dot_where_it_stands_alone() -> None:
    values = [0.5, 0.75, None, 1.0, None, *[0.25] * 80]
    plot = line([Slot("", "", (value,)) for value in values], str)
    assert [(each.y1, each.y2) for each in plot.lines] == [(90, 45), *[(135, 135)] * 79]
    assert [y for _, y in plot.dots] == [0]
    assert len(line([Slot("", "", (value,)) for value in values[:5]], str).dots) == 3


@pytest.mark.parametrize("number", [1, 2, 7, 24, 31, 62, 122, 130])
def test_as_many_labels_as_a_screen_has_room_for(number: int) -> None:
    labels = columns(slots([[1.0]] * number), str).labels
    assert 1 <= sum(not label.minor for label in labels) <= 5
    assert min(number, 5) <= len(labels) <= 9

"""Plots as numbers: where a bar, a line or a label stands. `templates/plots.html` draws them as SVG.

Across, everything is in percent of the plot's width, and down in pixels, so that a plot fills any screen and its words
keep their size. Only places are floats; amounts stay whole and come with their words.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

HEIGHT: Final = 180
# So many labels fit under a plot: on a telephone, and on a screen.
_FEW, _MANY = 5, 9
# Up to so many slots have gaps between their bars, and a dot for each value of a line.
_DOTS: Final = 62
_MARK_PX: Final = 45
_WIDEST: Final = 0.12
_CHARACTER_PX: Final = 7


@dataclass(frozen=True, slots=True)
class Slot:
    """One place on the way across. `values` are a series each; None: there is no value. `words` say them all."""

    label: str
    words: str
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar, in percent across and pixels down. `series` chooses its colour."""

    x: float
    y: float
    width: float
    height: float
    series: int


@dataclass(frozen=True, slots=True)
class Line:
    """From one place to another."""

    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True, slots=True)
class Label:
    """A word at an axis; one that is `minor` gives way on a small screen."""

    at: float
    text: str
    minor: bool = False


@dataclass(frozen=True, slots=True)
class Plot:
    """Everything of a plot that a template needs. `words` stand over each slot, `gutter` is the width of the axis."""

    height: int
    gutter: int
    zero: float
    grid: tuple[Label, ...]
    labels: tuple[Label, ...]
    bars: tuple[Bar, ...]
    lines: tuple[Line, ...]
    dots: tuple[tuple[float, float], ...]
    words: tuple[tuple[float, str], ...]
    slot: float


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float
    step: float
    height: int

    def y(self, value: float) -> float:
        return round(self.height * (self.high - value) / (self.high - self.low), 2)

    @property
    def marks(self) -> list[float]:
        return [self.low + number * self.step for number in range(round((self.high - self.low) / self.step) + 1)]


def columns(slots: Sequence[Slot], write: Callable[[float], str], *, height: int = HEIGHT, whole: bool = False) -> Plot:
    """Stack each slot's values on one another, up from zero; negative ones hang below. `whole`: no marks of halves."""
    scale = _scale([sum(_there(slot)) for slot in slots], height, whole=whole)
    bars = [bar for place, slot in enumerate(slots) for bar in _stack(slot, scale, *_breadth(place, len(slots), 1.0))]
    return _plot(slots, scale, write, bars=bars)


def overlaid(slots: Sequence[Slot], write: Callable[[float], str], *, height: int = HEIGHT) -> Plot:
    """Stand each slot's second value, slim, in front of its first. Without labels: they stand under another plot."""
    scale = _scale([value for slot in slots for value in _there(slot)], height)
    bars = [
        _bar(*_breadth(place, len(slots), share), scale.y(value), scale.y(0), series)
        for place, slot in enumerate(slots)
        for series, (value, share) in enumerate(zip(slot.values, (1.0, 0.5), strict=True))
        if value
    ]
    return replace(_plot(slots, scale, write, bars=bars), labels=())


def line(slots: Sequence[Slot], write: Callable[[float], str], *, height: int = HEIGHT) -> Plot:
    """Join each slot's value, from 0 to 1, to the next one's; where one is missing, there is a gap."""
    scale = _Scale(0, 1, 0.25, height)
    points = [
        None if slot.values[0] is None else (_middle(place, len(slots)), scale.y(slot.values[0]))
        for place, slot in enumerate(slots)
    ]
    lines = [Line(*left, *right) for left, right in pairwise(points) if left and right]
    joined = {(x, y) for each in lines for x, y in ((each.x1, each.y1), (each.x2, each.y2))}
    dots = [point for point in points if point and (len(slots) <= _DOTS or point not in joined)]
    return _plot(slots, scale, write, lines=lines, dots=dots)


def _plot(
    slots: Sequence[Slot],
    scale: _Scale,
    write: Callable[[float], str],
    *,
    bars: Sequence[Bar] = (),
    lines: Sequence[Line] = (),
    dots: Sequence[tuple[float, float]] = (),
) -> Plot:
    grid = tuple(Label(scale.y(mark), write(mark)) for mark in scale.marks)
    return Plot(
        height=scale.height,
        gutter=max(len(label.text) for label in grid) * _CHARACTER_PX + 10,
        zero=scale.y(0),
        grid=grid,
        labels=tuple(_labels(slots)),
        bars=tuple(bars),
        lines=tuple(lines),
        dots=tuple(dots),
        words=tuple((_percent(place, len(slots)), slot.words) for place, slot in enumerate(slots)),
        slot=_percent(1, len(slots)),
    )


def _labels(slots: Sequence[Slot]) -> Iterator[Label]:
    minor = math.ceil(len(slots) / _MANY)
    major = minor * math.ceil(len(slots) / minor / _FEW)
    for place in range(0, len(slots), minor):
        yield Label(_middle(place, len(slots)), slots[place].label, minor=place % major != 0)


def _stack(slot: Slot, scale: _Scale, x: float, width: float) -> Iterator[Bar]:
    foot = 0.0
    for series, value in enumerate(slot.values):
        if value:
            yield _bar(x, width, scale.y(foot + value), scale.y(foot), series)
            foot += value


def _bar(x: float, width: float, top: float, foot: float, series: int) -> Bar:
    """Give a bar that can be seen, however small its value."""
    top, foot = min(top, foot), max(top, foot)
    return Bar(x, top, width, round(max(foot - top, 1), 2), series)


def _breadth(place: int, number: int, share: float) -> tuple[float, float]:
    """Give where a bar begins and how wide it is. Many bars stand close together, and few do not grow into blocks."""
    filled = min(0.76 if number <= _DOTS else 0.9, _WIDEST * number) * share
    return _percent(place + (1 - filled) / 2, number), _percent(filled, number)


def _middle(place: int, number: int) -> float:
    return _percent(place + 0.5, number)


def _percent(place: float, number: int) -> float:
    return round(100 * place / number, 3)


def _there(slot: Slot) -> list[float]:
    return [value for value in slot.values if value]


def _scale(values: Sequence[float], height: int, *, whole: bool = False) -> _Scale:
    low, high = min([0.0, *values]), max([0.0, *values])
    step = _round_step((high - low) / max(1, height // _MARK_PX) or 1)
    if whole:
        step = max(1, math.ceil(step))
    return _Scale(math.floor(low / step) * step, max(math.ceil(high / step), int(low == 0)) * step, step, height)


def _round_step(least: float) -> float:
    """Give the next of …, 1, 2, 2.5, 5, 10, … that is at least so large."""
    power: float = 10 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= least)

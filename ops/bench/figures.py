"""The arithmetic of the bench, purely: ratios pair by pair, their spread, percentiles, and what they are worth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import Literal, Self

Better = Literal["higher", "lower"]


class Worth(StrEnum):
    """What a figure is worth against its bar and goal."""

    MISSED = "missed"
    BAR = "bar"
    GOAL = "goal"


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of the rounds, and what lies around it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Give the spread of at least one value."""
        return cls(median(values), min(values), max(values))


def ratios(a: Sequence[float], b: Sequence[float]) -> list[float]:
    """Divide round by round: what slowed a whole round down slowed both."""
    return [mine / theirs for mine, theirs in zip(a, b, strict=True)]


def percentile(values: Sequence[float], percent: float) -> float:
    """Give the smallest of the values that so many percent of them do not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def worth(value: float, better: Better, bar: float, goal: float) -> Worth:
    """Judge a value."""
    sign = 1 if better == "higher" else -1
    if sign * value >= sign * goal:
        return Worth.GOAL
    return Worth.BAR if sign * value >= sign * bar else Worth.MISSED


def change(before: Spread, now: Spread, better: Better) -> Literal["better", "worse"] | None:
    """Tell what changed beyond the spread: None where the two overlap."""
    if now.low > before.high:
        return "better" if better == "higher" else "worse"
    if now.high < before.low:
        return "worse" if better == "higher" else "better"
    return None

"""The rows of the bench, read from ``bars.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ops.bench.figures import Better

RATIO: Final = "ratio"
FILE: Final = Path(__file__).with_name("bars.toml")


@dataclass(frozen=True, slots=True)
class Row:
    """One row; what each field means stands at the head of ``bars.toml``."""

    name: str
    title: str
    a: tuple[str, ...]
    figure: str
    better: Better
    bar: float
    goal: float
    b: str | None = None
    unit: str = RATIO
    beside: bool = False

    @property
    def trials(self) -> tuple[str, ...]:
        """The trials whose figures it needs."""
        return self.a if self.b is None else (*self.a, self.b)

    def write(self, value: float) -> str:
        """Write a value of this row as people read it."""
        if self.unit == RATIO:
            return f"{value:.2f}"
        return f"{value:,.0f}{self.unit}" if self.unit == "/s" else f"{value:.1f} {self.unit}"


def load() -> tuple[Row, ...]:
    """Give all rows in their order."""
    rows = tomllib.loads(FILE.read_text(encoding="utf-8"))["row"]
    return tuple(Row(**{**row, "a": tuple(row["a"])}) for row in rows)

"""A run as JSON, and what changed since another one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from ops.bench.bars import RATIO
from ops.bench.figures import Spread, change
from ops.bench.run import Result, Run

STORED: Final = Path(__file__).with_name("baseline.json")
_SAME_MACHINE: Final = ("cpu", "cpus")


class NoBaseline(Exception):
    """A file that holds no run of the bench."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a row was before; `what` is None where the two spreads overlap."""

    before: Spread
    what: str | None


@dataclass(frozen=True, slots=True)
class Baseline:
    """A run that was kept."""

    machine: Mapping[str, Any]
    rows: Mapping[tuple[str, str], Spread]

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read one.

        Raises:
            NoBaseline: it cannot be read, or is none.
        """
        try:
            kept = json.loads(file.read_text(encoding="utf-8"))
            spreads = {
                (row["row"], row["place"]): Spread(row["median"], row["low"], row["high"])
                for row in kept["rows"]
                if "median" in row
            }
            return cls(kept["machine"], spreads)
        except (OSError, ValueError, KeyError, TypeError) as fault:
            raise NoBaseline(f"{file}: {type(fault).__name__}: {fault}") from None

    def changes(self, machine: Mapping[str, Any], results: Sequence[Result]) -> dict[Result, Change]:
        """Tell what was before of each row that both have; of another machine, ratios alone."""
        same = all(self.machine.get(name) == machine.get(name) for name in _SAME_MACHINE)
        return {
            result: Change(before, change(before, result.spread, result.row.better))
            for result in results
            if result.spread is not None
            and (before := self.rows.get((result.row.name, result.place))) is not None
            and (same or result.row.unit == RATIO)
        }


def as_object(machine: Mapping[str, Any], rounds: int, run: Run, results: Sequence[Result]) -> dict[str, Any]:
    """Give a run as JSON takes it: what it was measured on, the rows, and every figure of every round."""
    order = run.order
    return {
        "machine": dict(machine),
        "asked": {"rounds": rounds, "leads": order.leads, "ledger": order.ledger, "soak": order.soak},
        "rows": [result.facts() for result in results],
        "figures": {
            f"{trial} on {place}": [{name: round(value, 4) for name, value in figures.items()} for figures in figured]
            for (trial, place), figured in run.figures.items()
        },
    }

"""One run of the bench: rounds of trials, interleaved, and what they amount to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ops.bench.bars import Row
from ops.bench.buyer import Stalled
from ops.bench.figures import Spread, Worth, ratios, worth
from ops.bench.servers import Missing, Place
from ops.bench.trials import ONCE, OURS, TRIALS, Figures, Order

Tell = Callable[[str], None]
HOME: Final[Place] = "rabbitmq"
TRIES: Final = 2


@dataclass(frozen=True, slots=True)
class Result:
    """What a row gave on one place: its spread, or why there is none. `a` and `b` are the medians of its two sides."""

    row: Row
    place: Place
    spread: Spread | None
    a: float | None = None
    b: float | None = None
    why: str = ""

    @property
    def worth(self) -> Worth | None:
        """What it is worth; None where nothing could be measured."""
        return worth(self.spread.median, self.row.better, self.row.bar, self.row.goal) if self.spread else None

    def facts(self) -> dict[str, Any]:
        """Give all as JSON takes it."""
        told = {"row": self.row.name, "place": self.place, "title": self.row.title, "unit": self.row.unit}
        bars = {"better": self.row.better, "bar": self.row.bar, "goal": self.row.goal}
        if self.spread is None:
            return {**told, **bars, "why": self.why}
        spread = {"median": self.spread.median, "low": self.spread.low, "high": self.spread.high}
        rounded = {name: round(value, 4) for name, value in spread.items()}
        return {**told, **bars, **rounded, "worth": self.worth, "a": self.a, "b": self.b}


@dataclass(slots=True)
class Run:
    """Trials by place, and the figures of their rounds. What cannot be run here is remembered with its reason."""

    rows: Sequence[Row]
    places: Sequence[Place]
    order: Order
    tell: Tell
    figures: defaultdict[tuple[str, Place], list[Figures]] = field(default_factory=lambda: defaultdict(list))
    missing: dict[tuple[str, Place], str] = field(default_factory=dict)

    def rounds(self, number: int) -> None:
        """Run every trial once a round, each round in the other direction: nobody always comes first."""
        trials = self._trials()
        for turn in range(number):
            for trial, place in trials if turn % 2 == 0 else reversed(trials):
                if (trial, place) not in self.missing and (turn == 0 or trial not in ONCE):
                    self._try(trial, place, f"round {turn + 1} of {number}")

    def results(self) -> list[Result]:
        """Give what each row amounts to on each place on which it is measured."""
        asked = {"ledger": self.order.ledger, "soak": self.order.soak}
        rows = [replace(row, title=row.title.format(**asked)) for row in self.rows]
        return [self._result(row, place) for row in rows for place in self.places if _is_on(row, place)]

    def _trials(self) -> list[tuple[str, Place]]:
        # Place by place: who is compared runs within a minute, and has the machine at one speed.
        pairs = [
            (trial, place if trial in OURS else HOME)
            for place in self.places
            for row in self.rows
            if _is_on(row, place)
            for trial in row.trials
        ]
        return list(dict.fromkeys(pairs))

    def _try(self, trial: str, place: Place, when: str) -> None:
        """Run a trial; one that stalls is run once more, since half an hour shall not hang on one process."""
        for tries_left in reversed(range(TRIES)):
            try:
                figures = TRIALS[trial](replace(self.order, place=place))
            except Missing as reason:
                self._give_up(trial, place, when, reason)
                return
            except (Stalled, TimeoutError) as reason:
                self.tell(f"{when}: {trial} on {place}: {reason}")
                if not tries_left:
                    self._give_up(trial, place, when, reason)
            else:
                self.figures[trial, place].append(figures)
                told = ", ".join(f"{name} {value:,.4g}" for name, value in figures.items())
                self.tell(f"{when}: {trial} on {place}: {told}")
                return

    def _give_up(self, trial: str, place: Place, when: str, reason: Exception) -> None:
        self.missing[trial, place] = str(reason)
        self.tell(f"{when}: {trial} on {place} is left out: {reason}")

    def _result(self, row: Row, place: Place) -> Result:
        measured = {form: values for form in row.a if (values := self._values(form, place, row.figure))}
        theirs = self._values(row.b, HOME, row.figure) if row.b else None
        if not measured or theirs == []:
            lacking = [(form, place) for form in row.a] + ([(row.b, HOME)] if row.b else [])
            whys = dict.fromkeys(self.missing[each] for each in lacking if each in self.missing)
            return Result(row, place, None, why="; ".join(whys))
        pick = max if row.better == "higher" else min
        mine = pick(measured.values(), key=lambda values: Spread.of(values).median)
        values = mine if theirs is None else ratios(*_of_both(mine, theirs))
        a, b = Spread.of(mine).median, None if theirs is None else Spread.of(theirs).median
        return Result(row, place, Spread.of(values), round(a, 4), None if b is None else round(b, 4))

    def _values(self, trial: str, place: Place, figure: str) -> list[float]:
        of = place if trial in OURS else HOME
        return [figures[figure] for figures in self.figures[trial, of]] if (trial, of) not in self.missing else []


def _of_both(mine: Sequence[float], theirs: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    rounds = min(len(mine), len(theirs))
    return mine[:rounds], theirs[:rounds]


def _is_on(row: Row, place: Place) -> bool:
    return row.beside or place == HOME

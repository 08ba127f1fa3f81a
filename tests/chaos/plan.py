"""What a run of chaos does to an installation, and when: the seed alone decides."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final, Literal

PARTS: Final = ("ping1", "ping2", "post1", "post2", "intake", "beat")
KILL_EVERY_S: Final = 2.0
CUT_EVERY_S: Final = 7.0
RESTARTS: Final = (0.2, 0.5, 0.8)  # of the time in which leads are sent

What = Literal["kill", "restart", "crash", "cut"]


@dataclass(frozen=True, slots=True)
class Blow:
    """One thing that breaks, so many seconds after the first lead. A `restart` is orderly, a `crash` SIGKILL."""

    at_s: float
    what: What
    target: str


def plan(seed: int, load_s: float) -> list[Blow]:
    """Plan for a load of so many seconds: a part every two seconds, none more often than another, the broker thrice."""
    chance = Random(seed)
    blows = []
    parts: list[str] = []
    for turn in range(1, int(load_s / KILL_EVERY_S) + 1):
        if not parts:
            parts = chance.sample(PARTS, len(PARTS))
        blows.append(Blow(turn * KILL_EVERY_S, "kill", parts.pop()))
    crash = chance.randrange(len(RESTARTS))
    for number, share in enumerate(RESTARTS):
        blows.append(Blow(load_s * share, "crash" if number == crash else "restart", "broker"))
    first_cut_s = chance.uniform(1, min(CUT_EVERY_S, load_s / 2))
    cuts = range(int((load_s - first_cut_s) / CUT_EVERY_S) + 1)
    blows += [Blow(first_cut_s + number * CUT_EVERY_S, "cut", "broker") for number in cuts]
    return sorted(blows, key=lambda blow: blow.at_s)

"""Schedules: a seed is a whole history, and the same seed is the same history."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.simulation.invariants import Broken
from tests.simulation.world import LONGEST, World, inhabited


@dataclass(frozen=True)
class Failure:
    """A history in which an invariant broke. `seed` replays it exactly."""

    seed: int
    why: str
    trace: tuple[str, ...]


def run(seed: int) -> Failure | None:
    """Run one schedule to its rest. Gives what broke, if anything did."""
    chance = random.Random(seed)
    world = World(chance.randrange)
    with inhabited(world):
        try:
            for _ in range(chance.randrange(20, LONGEST)):
                world.step()
            world.rest()
        except Broken as broken:
            return Failure(seed, str(broken), tuple(world.trace))
        except Exception as fault:  # noqa: BLE001 - a fault of the product's code is a finding, too
            return Failure(seed, f"{type(fault).__name__}: {fault}", tuple(world.trace))
    return None


def trace(seed: int) -> tuple[str, ...]:
    """Give a schedule's history."""
    chance = random.Random(seed)
    world = World(chance.randrange)
    with inhabited(world):
        for _ in range(chance.randrange(20, LONGEST)):
            world.step()
        world.rest()
    return tuple(world.trace)

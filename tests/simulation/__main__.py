"""``python -m tests.simulation``: many schedules, each a seed; or one seed again, step by step."""

# ruff: noqa: T201 - a command prints
from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import chain

from tests.simulation.schedules import Failure, run, trace

BATCH = 500
SHOWN = 5


def _batch(seeds: range) -> list[Failure]:
    return [failure for seed in seeds if (failure := run(seed)) is not None]


def main() -> int:
    """Run, tell, and give the exit code: 0 where every invariant held."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--schedules", type=int, default=100_000, metavar="N")
    parser.add_argument("--first-seed", type=int, default=0, metavar="SEED")
    parser.add_argument("--jobs", type=int, default=None, help="processes; default: one a core")
    parser.add_argument("--seed", type=int, help="run this one alone, and print its history")
    asked = parser.parse_args()
    if asked.seed is not None:
        failure = run(asked.seed)
        print(*(failure.trace if failure else trace(asked.seed)), sep="\n")
        print(f"seed {asked.seed}: {failure.why if failure else 'every invariant held'}")
        return 1 if failure else 0
    began = time.monotonic()
    last = asked.first_seed + asked.schedules
    batches = [range(seed, min(seed + BATCH, last)) for seed in range(asked.first_seed, last, BATCH)]
    with ProcessPoolExecutor(asked.jobs) as pool:
        failures = list(chain.from_iterable(pool.map(_batch, batches)))
    for failure in failures[:SHOWN]:
        print(f"seed {failure.seed}: {failure.why}")
    print(f"{asked.schedules} schedules, {len(failures)} broken, {time.monotonic() - began:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

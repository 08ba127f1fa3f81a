"""``python -m tests.bounds``: each of the buyer's limits, and our own, met by a whole installation."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tests.bounds.load import burst, crowd, long_queue
from tests.bounds.trials import TRIALS

ALL = {**TRIALS, "burst": burst, "crowd": crowd, "long-queue": long_queue}


def main() -> int:
    """Run, print each trial as JSON, and give the exit code: 1 where a bound was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.bounds", description=__doc__)
    parser.add_argument("trials", nargs="*", metavar="TRIAL", help=f"of {', '.join(ALL)} (default: all)")
    parser.add_argument("--times", type=int, default=1, help="how often each")
    asked = parser.parse_args()
    broken = 0
    for name in asked.trials or ALL:
        for _ in range(asked.times):
            with tempfile.TemporaryDirectory(prefix="pingpost-bounds-") as folder:
                trial = ALL[name](Path(folder))
            sys.stdout.write(json.dumps({"trial": name, **trial.facts, "faults": trial.faults}) + "\n")
            sys.stdout.flush()
            broken += bool(trial.faults)
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())

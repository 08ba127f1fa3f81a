"""``python -m tests.chaos``: leads under kills, broker restarts and a hostile buyer, and the four books compared."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.chaos.run import BROKERS, Result, run


def _show(result: Result) -> None:
    table = Table("", result.broker, title="chaos")
    for name, value in result.facts().items():
        table.add_row(name, str(value))
    console = Console(stderr=True)
    console.print(table)
    for violation in result.findings.violations:
        console.print(f"{violation.rule}: {violation.lead_id} ({violation.where})", markup=False)
    if result.findings.violations:
        console.print(f"ledger and log: {result.data}", markup=False)


def main() -> int:
    """Run, print, and give the exit code: 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--broker", choices=[*BROKERS, "both"], default="both")
    parser.add_argument("--leads", type=int, default=5000)
    parser.add_argument("--rate", type=float, default=40, help="leads a second, at most")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--data", type=Path, default=None, help="where ledger and log stay (default: a new folder)")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if asked.seed is None else asked.seed
    sys.stderr.write(f"seed {seed}\n")
    folder = asked.data or Path(tempfile.mkdtemp(prefix="pingpost-chaos-"))
    results = []
    for broker in BROKERS if asked.broker == "both" else (asked.broker,):
        (folder / broker).mkdir(parents=True, exist_ok=True)
        results.append(run(folder / broker, broker, leads=asked.leads, rate=asked.rate, seed=seed))
        _show(results[-1])
    if asked.json:
        sys.stdout.write(json.dumps([result.facts() for result in results], indent=1) + "\n")
    return int(any(result.findings.violations for result in results))


if __name__ == "__main__":
    sys.exit(main())

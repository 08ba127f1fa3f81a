"""``python -m tests.alarms``: each alert rule, set off for real by a whole installation under a real Prometheus."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

from tests.alarms.trials import TRIALS, Fired
from tests.servers.prometheus import SHIPPED


def main() -> int:
    """Run, print a table, and give the exit code: 1 where an alert did not fire."""
    parser = argparse.ArgumentParser(prog="python -m tests.alarms", description=__doc__)
    parser.add_argument("trials", nargs="*", metavar="TRIAL", help=f"of {', '.join(TRIALS)} (default: all)")
    asked = parser.parse_args()
    fired: list[Fired] = []
    for name in asked.trials or TRIALS:
        with tempfile.TemporaryDirectory(prefix="pingpost-alarms-") as folder:
            fired += TRIALS[name](Path(folder))
    table = Table("alert", "provoked by", "fired after, s")
    for one in sorted(fired, key=lambda one: one.alert):
        more = ", ".join(value for name, value in one.labels.items() if name != "alertname")
        table.add_row(f"{one.alert} {more}", one.provoked_by, f"{one.after_s:.1f}")
    Console(width=120).print(table)
    rules = yaml.safe_load((SHIPPED / "alerts.yml").read_text())
    every = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    missing = every - {one.alert for one in fired}
    if missing and not asked.trials:
        sys.stderr.write(f"never fired: {', '.join(sorted(missing))}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

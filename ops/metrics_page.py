"""``python -m ops.metrics_page`` (`make docs`): writes `ops/metrics.md` from `workers/metrics/names.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ops.log_lines import table
from workers.metrics import METRICS

PAGE: Final = Path(__file__).with_name("metrics.md")
_HEAD: Final = """\
# Metrics

What each part serves on `PINGPOST_METRICS_PORT` for Prometheus. Made from `workers/metrics/names.py` by `make docs`:
change it there. How to have them collected, and what each alarm means, stands in the [runbook](runbook.md#metrics).

Counters and histograms are a process's own, and begin at 0 with it: `sum(rate(…))` over all parts. Gauges are read for
each answer from ledger, state store and broker, by every intake: take the `max`, not the sum. Names and labels do not
change; more may be added. No label has a lead's data in it but the sub source, in the `scope` of a gate.
"""


def page() -> str:
    """Give the whole page."""
    rows = [
        (f"`{name}`", kind.kind, " ".join(f"`{label}`" for label in kind.labels), ", ".join(kind.served_by), kind.help)
        for name, kind in METRICS.items()
    ]
    return f"{_HEAD}\n{table(('metric', 'kind', 'labels', 'served by', 'it is'), rows)}\n"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()

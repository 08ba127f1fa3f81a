from __future__ import annotations

import io
from datetime import date

import pytest
from rich.console import Console

from tasks.core.outcome import Status
from tasks.core.tally import Tally
from tasks.ledger.report import By, Report
from workers.report.table import show

BROUGHT = Tally(
    dict.fromkeys(Status, 1200),
    {Status.SOLD: 3},
    pings=9600,
    pinged=9600,
    answered=7000,
    bids=5000,
    bid_total=62_500_000_000,
    posts=4000,
    posted=4000,
    quoted=15_000_000_000,
    confirmed=14_500_000_000,
    difference=-500_000_000,
    unconfirmed=9,
    payout=14_600_000_000,
    due=13_100_000_000,
    lost=1_200_000_000,
    possible=1200,
    possible_payout=15_000_000_000,
)


@pytest.mark.parametrize(
    ("by", "group"),
    [((By.DAY,), (date(2026, 11, 23),)), ((By.HOUR, By.SUBID), (4, "a sub source of many words, and a-long-one"))],
)
def test_no_terminal_cuts_anything_and_a_wide_one_leaves_nothing_out(by: tuple[By, ...], group: tuple[date | str, ...]):
    groups: Report = {group: BROUGHT}
    for width in (*range(80, 240, 2), 300):
        console = Console(width=width, file=io.StringIO())
        show(console, by, groups)
        shown = console.file.getvalue()  # type: ignore[attr-defined]
        assert max(map(len, shown.splitlines())) <= width
        assert "…" not in shown
        assert "14,600.00" in shown
    assert "no room for" not in shown

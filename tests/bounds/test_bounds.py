"""The short forms of `make bounds`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bounds.trials import cap, maintenance, own_limit, pace

pytestmark = pytest.mark.timeout(300)


def test_a_cap_is_sold_to_the_last_and_hardly_a_call_is_thrown_away_on_it(tmp_path: Path):
    """Hundreds of leads at once; log, ledger and buyer count the same sales."""
    trial = cap(tmp_path, workers=4, cap_=30, number=300)
    assert trial.faults == (), trial.facts


def test_an_own_limit_is_reached_and_never_overrun(tmp_path: Path):
    """Refused posts give their places back meanwhile."""
    trial = own_limit(tmp_path, workers=4, limit=30, number=300)
    assert trial.faults == (), trial.facts


def test_maintenance_costs_few_calls_and_is_over_for_us_soon_after_its_end(tmp_path: Path):
    """Leads come all the time, each with its outcome in the end."""
    trial = maintenance(tmp_path, seconds=12, rate=15)
    assert trial.faults == (), trial.facts


def test_a_rate_limit_is_found_and_kept_to(tmp_path: Path):
    """As the buyer counts. How near to it calls come is speed: `make bounds`, and by a simulated clock test_stream."""
    facts = pace(tmp_path, workers=2, seconds=60, demand=24).facts
    # What it took is no measure from above: a bucket that was full takes a second's calls more, and says no by 1100.
    assert facts["refused after 30 s, %"] < 1, facts
    assert facts["refused in all, %"] < 1, facts
    assert set(facts["outcomes"]) <= {"sold", "expired"}, facts
    assert facts["paces in force"] or facts["refused in all, %"] == 0, facts

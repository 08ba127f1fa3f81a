"""The short form of `make chaos`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.chaos.run import run
from tests.servers.need import missing
from tests.servers.rabbitmq import NoRabbitmq

SEED_VARIABLE = "PINGPOST_TEST_CHAOS_SEED"


@pytest.mark.parametrize("broker", [pytest.param("rabbitmq", marks=pytest.mark.rabbitmq), "embedded"])
def test_under_chaos_the_four_books_agree(tmp_path: Path, broker: str):
    """Kills, broker restarts and a hostile buyer lose no lead and sell none twice, and they did happen."""
    seed = int(os.environ.get(SEED_VARIABLE, "7"))
    print(f"{SEED_VARIABLE}={seed}")  # noqa: T201 - pytest shows it beside a failure, to run it again
    try:
        result = run(tmp_path, broker, leads=500, rate=25, seed=seed)
    except NoRabbitmq as reason:
        missing(str(reason))
    assert result.accepted == 500
    assert result.findings.violations == (), result.facts()
    assert result.done["broker restarts"] > 0, result.facts()
    assert any(what.startswith("kills") for what in result.done), result.facts()

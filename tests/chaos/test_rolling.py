"""The short form of `make rolling`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.plan import PARTS
from tests.chaos.rolling import roll
from tests.servers.need import missing
from tests.servers.rabbitmq import NoRabbitmq


@pytest.mark.timeout(300)
@pytest.mark.parametrize("broker", [pytest.param("rabbitmq", marks=pytest.mark.rabbitmq), "embedded"])
def test_a_rolling_restart_costs_no_lead(tmp_path: Path, broker: str):
    """Every part restarted under load ends by itself, and each lead sent meanwhile is sold once and told."""
    try:
        rolled = roll(tmp_path, broker, rate=15, seconds=8)
    except NoRabbitmq as reason:
        missing(str(reason))
    assert rolled.exits == dict.fromkeys(PARTS, "0"), rolled.facts()
    assert rolled.during, rolled.facts()
    assert rolled.whole, rolled.facts()

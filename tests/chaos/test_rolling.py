"""The short form of `make rolling`, and an upgrade that rolls the same way."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from ops.servers.postgresql import new_database
from ops.servers.rabbitmq import NoRabbitmq
from tasks.ledger import migrate
from tasks.ledger.version import NEEDED
from tests.chaos.plan import PARTS
from tests.chaos.rolling import roll
from tests.ledger.next_migration import next_migrations
from tests.servers.need import missing


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


@pytest.mark.timeout(300)
@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def test_an_upgrade_with_leads_in_flight_costs_none(tmp_path: Path, database: str, request: pytest.FixtureRequest):
    """The next version's migration under load, then part after part restarted: old code on new tables sells on."""
    with ExitStack() as stack:
        url = f"sqlite:///{tmp_path / 'elsewhere' / 'ledger.sqlite3'}"
        if database == "postgresql":
            url = stack.enter_context(new_database(request.getfixturevalue("postgresql_url")))
        following = next_migrations(tmp_path, NEEDED)
        rolled = roll(
            tmp_path,
            "embedded",
            rate=15,
            seconds=8,
            environment={"PINGPOST_LEDGER_URL": url},
            before=lambda: migrate(url, following),
        )
    assert rolled.exits == dict.fromkeys(PARTS, "0"), rolled.facts()
    assert rolled.whole, rolled.facts()

"""Metrics as Prometheus reads them, over real HTTP."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from redis.exceptions import ConnectionError as StoreAway

from ops.sandbox import Sandbox
from tests.integration.installation import installed, lead, wait_for
from tests.integration.upstream import Upstream
from tests.servers.own import free_port
from workers.metrics import HELP, Name, gauge, serve
from workers.settings import Settings, SettingsError


def scrape(port: int) -> dict[tuple[str, str], float]:
    """Every sample, by its name and what it is of: a gate's scope with its code, or a source."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, " ".join(filter(None, sorted(sample.labels.values())))): sample.value for sample in samples}


def test_every_name_is_explained():
    assert set(HELP) == set(Name)
    assert all(name.startswith("pingpost_") for name in Name)


def test_what_cannot_be_read_is_left_out_and_said():
    """One source that is away takes none of the others with it."""

    def away() -> Iterable[Metric]:
        raise StoreAway

    def there() -> Iterable[Metric]:
        pace = gauge(Name.PACE)
        pace.add_metric([], 40)
        return [pace]

    port = free_port()
    end = serve(Settings(metrics_port=port), {"gates": away, "others": there})
    try:
        assert scrape(port) == {
            (Name.READABLE, "gates"): 0,
            (Name.READABLE, "others"): 1,
            (Name.PACE, ""): 40,
        }
        with pytest.raises(SettingsError, match="PINGPOST_METRICS_PORT"):
            serve(Settings(metrics_port=port), {})
    finally:
        end()


def test_no_port_no_server():
    serve(Settings(), {})()


def test_an_installation_shows_its_gates(tmp_path):
    """A cap that is met, the leads that it turns away, the buyer's gate; and nobody's data."""
    port = free_port()
    with Sandbox({"caps": [{"count": 1}]}) as buyer:
        environment = {"PINGPOST_METRICS_PORT": str(port), "PINGPOST_CALLS_PER_S": "200"}
        with installed(tmp_path, buyer, environment, "--no-flower") as house:
            upstream = Upstream(house.broker_url)
            assert scrape(port)[Name.GATE_CLOSED, "buyer"] == 0
            upstream.sell(lead("m-1"))
            upstream.sell(lead("m-2"))
            upstream.sell(lead("m-3"))
            wait_for(lambda: scrape(port).get((Name.GATE_CLOSED, "4000 category:16001")) == 1, 10)
            found = scrape(port)
            assert found[Name.GATE_TURNED_AWAY, "category:16001"] == 1
            assert found[Name.GATE_SOLD, "category:16001"] == 1
            assert found[Name.PACE, ""] == 200
            upstream.close()
            (line,) = house.lines("gate.closed", scope="category:16001")
            assert datetime.fromisoformat(line["until"]) - datetime.now(UTC) < timedelta(hours=25)

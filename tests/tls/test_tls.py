"""Encrypted ways to broker, state store and ledger, with real servers and certificates."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from redis import Redis
from sqlalchemy.engine import make_url

from ops.sandbox import Sandbox
from tests.integration.installation import Installation, installed, lead, wait_for
from tests.integration.upstream import Upstream
from tests.tls.conftest import Servers

pytestmark = [pytest.mark.rabbitmq, pytest.mark.postgresql]


def _sells(house: Installation, upstream: Upstream, prefix: str) -> None:
    leads = [lead(f"{prefix}-{number}", deadline_s=60) for number in range(10)]
    assert [outcome["status"] for outcome in upstream.sell(*leads)] == ["sold"] * len(leads)
    file = house.data.parent / "one.jsonl"
    file.write_text(json.dumps(lead(f"{prefix}-submitted", deadline_s=60)) + "\n")
    told = house.command("submit", str(file), "--wait", "--json")
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["status"] == "sold"
    upstream.send_raw(b"no lead")
    wait_for(lambda: house.lines("lead.buried"), 20)
    assert "leads.dead" in house.command("dead", "list", "--json").stdout


def test_an_installation_whose_every_way_is_encrypted_sells(tmp_path: Path, servers: Servers):
    """RabbitMQ, state store and ledger; the servers themselves say that nobody of ours came unencrypted."""
    with (
        Sandbox() as buyer,
        installed(tmp_path, buyer, servers.urls(), "--no-flower") as house,
    ):
        upstream = Upstream(servers.plain_rabbitmq_url)
        try:
            _sells(house, upstream, "tls")
        finally:
            upstream.close()
        with Redis.from_url(servers.plain_redis_url, decode_responses=True) as client:
            # The port that a client came to stands in its `laddr`.
            others = [one for one in client.client_list() if not one["laddr"].endswith(f":{servers.redis_port}")]
        assert len(others) == 1  # ourselves
        ours = make_url(servers.ledger_url).set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(ours, sslmode="disable") as connection:
            sessions = connection.execute(
                "SELECT ssl, count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
                " WHERE datname = current_database() AND pid <> pg_backend_pid() GROUP BY ssl"
            ).fetchall()
        assert [encrypted for encrypted, _ in sessions] == [True]
        checked = house.command("check", "--json")
        assert checked.returncode == 0, checked.stdout


def test_an_encrypted_redis_carries_the_leads_too(tmp_path: Path, servers: Servers):
    """As the broker, under the scheme that Valkey's users know."""
    url = servers.urls()["PINGPOST_STATE_URL"].replace("rediss:", "valkeys:")
    with (
        Sandbox() as buyer,
        installed(tmp_path, buyer, {"PINGPOST_BROKER_URL": url}, "--no-flower") as house,
    ):
        upstream = Upstream(servers.plain_redis_url)
        try:
            _sells(house, upstream, "rediss")
        finally:
            upstream.close()


@pytest.fixture(params=["an authority that we do not trust", "another host's name"])
def distrusted(request: pytest.FixtureRequest, servers: Servers) -> tuple[dict[str, str], tuple[str, ...]]:
    """Settings with which no connection may be made, and what one of the words about it must be."""
    if request.param == "another host's name":
        return servers.urls(host="127.0.0.1"), ("IP address mismatch", "does not match host name")
    return servers.urls(authority=servers.stranger), ("certificate verify failed", "unable to get local issuer", "self")


def test_a_server_that_cannot_prove_who_it_is_is_not_talked_to(
    tmp_path: Path, distrusted: tuple[dict[str, str], tuple[str, ...]]
):
    """`check` names broker, state store and ledger, and what is wrong with each certificate."""
    urls, words = distrusted
    rows = _check(tmp_path, urls)
    for what in ("broker", "state store", "ledger"):
        ok, detail = rows[what]
        assert not ok, (what, detail)
        assert any(word in detail for word in words), (what, detail)


def test_a_redis_for_a_broker_that_cannot_prove_who_it_is_is_not_talked_to(
    tmp_path: Path, distrusted: tuple[dict[str, str], tuple[str, ...]]
):
    """Kombu's own default would be to trust anybody."""
    urls, words = distrusted
    rows = _check(tmp_path, {**urls, "PINGPOST_BROKER_URL": urls["PINGPOST_STATE_URL"]})
    ok, detail = rows["broker"]
    assert not ok, detail
    assert any(word in detail for word in words), detail


def _check(folder: Path, urls: dict[str, str]) -> dict[str, tuple[bool, str]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PINGPOST_")} | {
        "PINGPOST_DATA": str(folder / "data"),
        "PINGPOST_PARTNER_ID": "XYZ",
        "PINGPOST_KEY": "a-live-key-of-the-buyer",
        "PINGPOST_PING_URL": "http://127.0.0.1:1/ping",
        "PINGPOST_POST_URL": "http://127.0.0.1:1/post",
        **urls,
    }
    done = subprocess.run(
        [sys.executable, "-m", "workers.cli", "check", "--json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    return {row["what"]: (row["ok"], row["detail"]) for row in json.loads(done.stdout)}

"""A whole installation that is told to end in the midst of its work, and started again."""

from __future__ import annotations

import signal
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from kombu import Connection, Producer
from sqlalchemy import select

from ops.sandbox import Sandbox
from ops.servers.rabbitmq import NoRabbitmq, start_rabbitmq
from tasks.ledger.schema import leads
from tests.integration.installation import Installation, installed, lead, wait_for
from tests.servers.need import missing

# Parts end one after the other, and posts begin until it is the workers' turn: enough of them for a slow machine.
LEADS = 160
# The first posts tell that all is running; the others take so long that the signal comes in the midst of them.
QUICK_POSTS = 12
SCENARIO = {
    "rules": [
        {"call": "post", "first": QUICK_POSTS, "per": "all", "latency_ms": 300},
        {"call": "post", "latency_ms": 2500},
        {"call": "ping", "latency_ms": 300},
    ]
}


def _told(house: Installation) -> dict[str, str]:
    rows = house.ledger.read(lambda connection: list(connection.execute(select(leads))))
    return {row.lead_id: row.status for row in rows if row.told_at is not None}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("broker", ["embedded", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM to it", "Ctrl-C to all of its group"])
def test_an_installation_that_ends_under_load_finishes_its_calls_and_goes_on_where_it_stopped(
    tmp_path: Path, broker: str, number: signal.Signals
):
    """It ends with 0, kills nobody and leaves nobody behind; started again, each lead is sold, once, with one line."""
    names = [f"stop-{each}" for each in range(LEADS)]
    with ExitStack() as stack:
        buyer = stack.enter_context(Sandbox(SCENARIO))
        environment = {}
        if broker == "rabbitmq":
            try:
                environment["PINGPOST_BROKER_URL"], stop = start_rabbitmq()
            except NoRabbitmq as reason:
                missing(str(reason))
            stack.callback(stop)
        house = stack.enter_context(installed(tmp_path, buyer, environment, "--no-flower"))
        url = environment.get("PINGPOST_BROKER_URL", house.broker_url)
        with Connection(url, transport_options={"confirm_publish": True}) as connection:
            producer = Producer(connection)
            for name in names:
                producer.publish(lead(name, deadline_s=120), routing_key="leads", serializer="json", delivery_mode=2)
        wait_for(lambda: len(buyer.book()["sales"]) > 5, 20)
        processes = [psutil.Process(pid) for pid in house.pids]

        if number is signal.SIGINT:
            for process in processes:
                process.send_signal(number)
            assert house.ended() == 0
        assert house.stop() == 0

        assert [process for process in processes if process.is_running()] == []
        assert house.lines("up.stopped")[-1]["killed"] == []
        assert len(_told(house)) < LEADS, "all was over before the signal: nothing was shown"
        house.start()
        wait_for(lambda: len(_told(house)) == LEADS, 60, lambda: f"{len(_told(house))} of {LEADS}")
        wait_for(lambda: len(house.lines("lead.outcome")) >= LEADS, 10)

        assert Counter(_told(house).values()) == {"sold": LEADS}
        assert Counter(line["lead_id"] for line in house.lines("lead.outcome")) == dict.fromkeys(names, 1)
        book = buyer.book()
        assert sorted(sale["customid"] for sale in book["sales"]) == sorted(names)
        assert (book["doubles"], book["resold"], book["repeats"]) == ([], [], [])

"""RabbitMQ under its disk alarm: it takes nothing more, and confirms nothing."""

from __future__ import annotations

import subprocess
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from kombu import Connection, Producer

from ops.sandbox import Sandbox
from ops.servers.rabbitmq import NoRabbitmq, start_rabbitmq
from tests.integration.installation import installed, lead, wait_for
from tests.servers.need import missing

LEADS = 40
CONTROL = next(filter(Path.is_file, map(Path, ("/usr/lib/rabbitmq/bin/rabbitmqctl",))), Path("rabbitmqctl"))


def _set_disk_free_limit(url: str, least: int) -> None:
    """Tell the node how many bytes must be free: more than there are sets the alarm off."""
    name = f"pingpost-{urlsplit(url).port}@localhost"
    environment = next(one for one in map(_environment, psutil.process_iter()) if one.get("RABBITMQ_NODENAME") == name)
    argv = [CONTROL, "-n", name, "set_disk_free_limit", str(least)]
    subprocess.run(argv, env=environment, check=True, capture_output=True, timeout=60)


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}


@pytest.mark.rabbitmq
def test_a_disk_alarm_at_rabbitmq_stops_no_worker_and_each_lead_is_sold_once_when_it_is_over(tmp_path: Path):
    """A publish under alarm gives up and says `broker.away`; afterwards the same workers go on."""
    names = [f"alarm-{number}" for number in range(LEADS)]
    with ExitStack() as stack:
        try:
            url, stop = start_rabbitmq()
        except NoRabbitmq as reason:
            missing(str(reason))
        stack.callback(stop)
        buyer = stack.enter_context(Sandbox({"rules": [{"call": ["ping", "post"], "latency_ms": 300}]}))
        house = stack.enter_context(installed(tmp_path, buyer, {"PINGPOST_BROKER_URL": url}, "--no-flower"))
        with Connection(url, transport_options={"confirm_publish": True}) as connection:
            producer = Producer(connection)
            for name in names:
                producer.publish(lead(name, deadline_s=120), routing_key="leads", serializer="json", delivery_mode=2)
        workers = {part: house.part(part).pid for part in ("ping1", "post1")}
        wait_for(lambda: len(buyer.book()["sales"]) > 2, 20)

        _set_disk_free_limit(url, 10**17)
        # Celery tries a publish six times, and each try waits for its confirmation.
        house.wait_for_line("broker.away", within_s=90)
        _set_disk_free_limit(url, 1)

        wait_for(
            lambda: {line["lead_id"] for line in house.lines("lead.outcome")} >= set(names),
            90,
            lambda: house.log_text()[-3000:],
        )
        house.wait_for_line("broker.back", within_s=30)
        assert set(Counter(line["lead_id"] for line in house.lines("lead.outcome")).values()) == {1}
        assert Counter(sale["customid"] for sale in buyer.book()["sales"]) == dict.fromkeys(names, 1)
        assert buyer.book()["repeats"] == []
        assert {part: house.part(part).pid for part in workers} == workers

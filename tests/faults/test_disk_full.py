"""A disk that is full, under the ledger and under the embedded broker: said, nothing accepted, nothing lost."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from kombu import Connection, Producer
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError
from sqlalchemy import select

from ops.sandbox import Sandbox
from tasks.ledger.schema import leads
from tests.integration.installation import Installation, installed, lead, wait_for
from tests.servers.need import missing

SIZE = "12m"


class Disk:
    """A small disk of its own, which can be filled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Take every byte that is left."""
        with contextlib.suppress(OSError), self._ballast.open("ab", buffering=0) as ballast:
            while ballast.write(b"\0" * 4096):
                pass

    def free(self) -> None:
        """Give it back."""
        self._ballast.unlink()


@contextlib.contextmanager
def disk(folder: Path) -> Iterator[Disk]:
    """Mount one at `folder`."""
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        missing("no disk of a size of its own can be mounted here")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def _send(house: Installation, *names: str) -> list[str]:
    """Give what the broker has taken for sure."""
    taken = []
    with contextlib.suppress(OperationalError, RedisError, OSError), Connection(house.broker_url) as connection:
        producer = Producer(connection)
        for name in names:
            producer.publish(lead(name, deadline_s=120), routing_key="leads", serializer="json", delivery_mode=2)
            taken.append(name)
    return taken


def _statuses(house: Installation) -> dict[str, str]:
    rows = house.ledger.read(lambda connection: list(connection.execute(select(leads))))
    return {row.lead_id: row.status for row in rows}


def _all_sold_once(house: Installation, buyer: Sandbox, names: list[str]) -> None:
    wait_for(
        lambda: all(_statuses(house).get(name) for name in names), 60, lambda: str(Counter(_statuses(house).values()))
    )
    statuses = _statuses(house)
    assert {statuses[name] for name in names} == {"sold"}
    sales = Counter(sale["customid"] for sale in buyer.book()["sales"])
    assert {name: sales[name] for name in names} == dict.fromkeys(names, 1)
    assert buyer.book()["repeats"] == []


def test_a_full_disk_under_the_ledger_is_said_once_and_costs_no_lead(tmp_path: Path):
    """Leads that come meanwhile stay in their queue; a post whose answer cannot be written down is sold when it can."""
    with contextlib.ExitStack() as stack:
        small = stack.enter_context(disk(tmp_path / "small"))
        buyer = stack.enter_context(Sandbox({"rules": [{"call": ["ping", "post"], "latency_ms": 100}]}))
        url = f"sqlite:///{small.folder / 'ledger.sqlite3'}"
        house = stack.enter_context(installed(tmp_path, buyer, {"PINGPOST_LEDGER_URL": url}, "--no-flower"))
        sent = _send(house, *(f"full-{number}" for number in range(40)))
        wait_for(lambda: len(buyer.book()["sales"]) > 3, 20)

        small.fill()

        def said() -> list[object]:
            sent.extend(_send(house, *(f"full-{len(sent) + number}" for number in range(20))))
            return [line for line in house.lines("ledger.away") if "full" in line["reason"]]

        wait_for(said, 30, lambda: house.log_text()[-2000:])
        before = len(_statuses(house))
        sent += _send(house, *(f"late-{number}" for number in range(10)))
        assert len(_statuses(house)) == before < len(sent)

        small.free()

        _all_sold_once(house, buyer, sent)
        house.wait_for_line("ledger.back")
        # Once a process: intake, beat's worker, pings, posts.
        assert len(house.lines("ledger.away")) <= 4


def test_a_full_disk_under_the_embedded_broker_is_said_and_costs_no_lead(tmp_path: Path):
    """It takes nothing while there is no room; all that it had taken is sold when there is some again."""
    with contextlib.ExitStack() as stack:
        small = stack.enter_context(disk(tmp_path / "data" / "broker"))
        buyer = stack.enter_context(Sandbox({"rules": [{"call": ["ping", "post"], "latency_ms": 100}]}))
        house = stack.enter_context(installed(tmp_path, buyer, {}, "--no-flower"))
        sent = _send(house, *(f"broker-{number}" for number in range(40)))
        wait_for(lambda: len(buyer.book()["sales"]) > 3, 20)

        small.fill()

        def refused() -> bool:
            sent.extend(_send(house, f"more-{len(sent)}"))
            return any("no space left" in str(line["exit"]) for line in house.lines("part.died", part="broker"))

        wait_for(refused, 30, lambda: house.log_text()[-3000:])
        small.free()

        _all_sold_once(house, buyer, sent)
        assert json.dumps(house.lines("up.stopped")) == "[]"

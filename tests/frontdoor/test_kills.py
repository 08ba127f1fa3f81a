"""An intake that is killed, or asked to end: no lead is lost, none is a second lead."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from tasks.core.protocol import Protocol
from tasks.ledger import Ledger
from tests.frontdoor.house import lead, open_door
from tests.frontdoor.wire import RedisWire, Wire
from workers.intake import RedisSource
from workers.topology import LEADS_INBOX

ROOT = Path(__file__).parents[2]
HELD, HOLDERS = "leads.held.", "leads.holders"
Doomed = Callable[[str], "Process"]


class Process:
    """A doomed intake, and what it says."""

    def __init__(self, *arguments: str) -> None:
        argv = [sys.executable, "-u", "-m", "tests.frontdoor.doomed", *arguments]
        self.process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self.lines: Queue[str] = Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                self.lines.put(line)

    def says(self, text: str) -> None:
        while text not in self.lines.get(timeout=30):
            pass

    def dies(self) -> None:
        assert self.process.wait(30) == -signal.SIGKILL


@pytest.fixture
def doomed(wire: Wire, ledger_url: str) -> Iterator[Doomed]:
    started: list[Process] = []

    def begin(moment: str) -> Process:
        started.append(Process(wire.url, ledger_url, moment))
        started[-1].says("intake.ready")
        return started[-1]

    yield begin
    for one in started:
        one.process.kill()
        one.process.wait()


def next_door(wire: Wire, ledger: Ledger, protocol: Protocol) -> Any:
    """Open a door that does not wait ten seconds until it believes in a death."""
    return open_door(wire.url, ledger, protocol, source=impatient(wire))


def impatient(wire: Wire) -> RedisSource | None:
    return RedisSource(wire.url, LEADS_INBOX, silent_ms=2_500) if isinstance(wire, RedisWire) else None


@pytest.mark.parametrize("moment", ["take", "start", "ack"])
def test_a_lead_in_the_hands_of_an_intake_that_is_killed_is_started_by_the_next(
    wire: Wire, doomed: Doomed, ledger: Ledger, protocol: Protocol, moment: str
) -> None:
    wire.listen()
    victim = doomed(moment)
    wire.send_kombu(lead("K-1"), reply_to=wire.queue("answers"), correlation_id="c")
    victim.dies()
    with next_door(wire, ledger, protocol) as door:
        door.wait_started("K-1")
        door.close()
        replies = ledger.read(lambda connection: list(connection.exec_driver_sql("SELECT replayed FROM replies")))
    assert [bool(replayed) for (replayed,) in replies] == [False], "the repeated message is no second sending"
    assert wire.depth("leads") == 0


def test_a_burst_survives_the_kill_of_its_intake(
    wire: Wire, doomed: Doomed, ledger: Ledger, protocol: Protocol
) -> None:
    names = {f"B-{number}" for number in range(130)}
    victim = doomed("ack")
    for name in sorted(names):
        wire.send(lead(name))
    victim.dies()
    with next_door(wire, ledger, protocol) as door:
        door.wait_for(lambda: names <= {name for name, _ in door.started} | _begun(victim), "all started")
        door.wait_for(lambda: all(ledger.lead(name) for name in names), "all in the ledger")


def _begun(victim: Process) -> set[str]:
    return {line.split()[0] for line in list(victim.lines.queue) if line.startswith("B-")}


def test_an_intake_that_is_asked_to_end_finishes_and_leaves_nothing_behind(wire: Wire, doomed: Doomed) -> None:
    intake = doomed("never")
    wire.send(lead("E-1"))
    intake.says("E-1")
    intake.process.send_signal(signal.SIGTERM)
    assert intake.process.wait(20) == 0
    assert wire.depth("leads") == 0


def test_the_list_of_a_consumer_that_went_silent_is_taken_over_and_forgotten(
    redis_wire: RedisWire, ledger: Ledger, protocol: Protocol
) -> None:
    redis_wire.client.lpush(f"{HELD}gone", b'{"lead_id":"S-1"}', b"junk")
    redis_wire.client.zadd(HOLDERS, {"gone": 1})
    redis_wire.listen()
    with open_door(redis_wire.url, ledger, protocol) as door:
        assert redis_wire.outcomes()[0]["lead_id"] == "S-1"
        assert redis_wire.read("leads.dead")[0].body == b"junk"
        door.wait_for(lambda: redis_wire.client.zscore(HOLDERS, "gone") is None, "it is forgotten")
        assert redis_wire.client.exists(f"{HELD}gone") == 0


def test_the_list_of_a_consumer_that_lives_is_left_alone(
    redis_wire: RedisWire, ledger: Ledger, protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.intake.redis.PULSE_S", 0.5)  # it lives, however busy the machine is
    other = RedisSource(redis_wire.url, LEADS_INBOX, name="busy", silent_ms=2_500)
    other.open()
    redis_wire.send(lead("H-1"))
    (held,) = other.take(1)
    with open_door(redis_wire.url, ledger, protocol, source=impatient(redis_wire)) as door:
        begun = redis_wire.client.zscore(HOLDERS, "busy")
        door.wait_for(lambda: redis_wire.client.zscore(HOLDERS, "busy") > begun + 5_000, "it was looked at twice")
        assert redis_wire.client.lrange(f"{HELD}busy", 0, -1) == [held.token]
        other.close()
        door.wait_started("H-1")  # once its holder says that it goes


def test_what_a_broken_connection_left_in_ones_own_list_is_found_again(redis_wire: RedisWire) -> None:
    source = RedisSource(redis_wire.url, LEADS_INBOX)
    source.open()
    for name in ("O-1", "O-2"):
        redis_wire.send(lead(name))
    first = source.take(1)
    source.drop()
    source.open()
    again = source.take(1)
    assert [message.body for message in again] == [message.body for message in first]
    assert all(message.redelivered for message in again)
    source.ack(again)
    assert source.take(0.01) == []
    source.close()

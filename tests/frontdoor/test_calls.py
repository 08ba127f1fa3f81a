"""What upstream tells of sold calls, over real brokers: into the ledger, or to `calls.dead` with the reason."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select
from structlog.testing import capture_logs

from tasks.core.outcome import rfc3339
from tasks.ledger import Ledger
from tasks.ledger.schema import call_reports
from tests.frontdoor.house import Door, lead, opened
from tests.frontdoor.test_away import Moody
from tests.frontdoor.wire import RedisWire, Wire
from tests.ledger.books import ended, put
from workers.cli import intake, main
from workers.intake import CallReceiver, Intake, open_source
from workers.intake.loop import CALLS
from workers.topology import CALLS_INBOX

SOLD_AT = datetime(2024, 11, 23, 17, 0, tzinfo=UTC)


def report(lead_id: str, after_s: float | None = 10, duration_s: Any = 60) -> dict[str, Any]:
    """What upstream tells of a call that was forwarded so many seconds after the sale."""
    at = None if after_s is None else rfc3339(SOLD_AT + timedelta(seconds=after_s))
    return {"lead_id": lead_id, "forwarded_at": at, "duration_s": duration_s}


def calls_door(url: str, ledger: Ledger) -> Door:
    return Door(open_source(url, CALLS_INBOX), CallReceiver(ledger), ledger, CALLS)


@pytest.fixture
def sold(ledger: Ledger) -> Ledger:
    """A ledger with sold leads A, B, C, and one that was rejected."""
    put(ledger, *(ended(name, at=SOLD_AT) for name in "ABC"), ended("no", "rejected", at=SOLD_AT))
    return ledger


@pytest.fixture
def door(wire: Wire, sold: Ledger) -> Iterator[Door]:
    with opened(calls_door(wire.url, sold)) as door:
        yield door


def kept(ledger: Ledger) -> list[tuple[str, str, str | None, bool]]:
    """Lead, standing, reason, and whether it counts, of each report in its order."""
    c = call_reports.c
    found = select(c.lead_id, c.standing, c.why, c.counts).order_by(c.id)
    return ledger.read(lambda connection: [tuple(row) for row in connection.execute(found)])


def wait_kept(door: Door, number: int) -> list[tuple[str, str, str | None, bool]]:
    door.wait_for(lambda: len(kept(door.ledger)) >= number, f"{number} reports, not {kept(door.ledger)}")
    return kept(door.ledger)


def lines(door: Door, event: str) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in line.items() if name not in ("event", "log_level")}
        for line in door.lines
        if line["event"] == event
    ]


def test_reports_from_any_client_say_which_payouts_are_due(wire: Wire, door: Door) -> None:
    """Plain JSON, or as kombu sends it; on the log is what is in the ledger."""
    wire.send(report("A"), to="calls")
    wire.send_kombu(report("B", duration_s=59.5), to="calls")
    wire.send(report("C", None, 0), to="calls")
    found = [("A", "due", None, True), ("B", "lost", "too short", True), ("C", "lost", "not forwarded", True)]
    assert wait_kept(door, 3) == found
    door.wait_for(lambda: len(lines(door, "call.reported")) == 3, "each is said")
    forwarded_at = "2024-11-23T17:00:10.000Z"
    assert lines(door, "call.reported") == [
        {"lead_id": "A", "forwarded_at": forwarded_at, "lasted_s": 60.0, "standing": "due", "reason": None},
        {"lead_id": "B", "forwarded_at": forwarded_at, "lasted_s": 59.5, "standing": "lost", "reason": "too short"},
        {"lead_id": "C", "forwarded_at": None, "lasted_s": 0.0, "standing": "lost", "reason": "not forwarded"},
    ]
    door.close()
    assert (wire.depth("calls"), wire.depth("calls.dead")) == (0, 0)


NO_REPORTS = {
    "no JSON": (b"hello", "not JSON"),
    "no report": (b"{}", "lead_id: must be 1 to 40 characters of A-Za-z0-9_.:-; forwarded_at: required"),
    "no such lead": (json.dumps(report("Zebulon")).encode(), "lead_id: no such lead"),
    "not sold": (json.dumps(report("no")).encode(), "lead_id: the lead was not sold (rejected)"),
    "too early": (json.dumps(report("A", -100)).encode(), "forwarded_at: before the lead was sold"),
    "no duration": (json.dumps(report("A", 1, "long")).encode(), "duration_s: must be a number of seconds"),
}


@pytest.mark.parametrize(("body", "reason"), NO_REPORTS.values(), ids=NO_REPORTS)
def test_what_cannot_be_true_of_a_call_goes_to_the_dead_and_holds_up_nobody(
    wire: Wire, door: Door, body: bytes, reason: str
) -> None:
    wire.send(body, to="calls")
    wire.send(report("B"), to="calls")
    assert wait_kept(door, 1) == [("B", "due", None, True)]
    (letter,) = wire.read("calls.dead")
    assert letter.body == body
    assert letter.headers["x-reason"].startswith(reason)
    assert lines(door, "call.buried") == [{"reason": letter.headers["x-reason"]}]
    assert "Zebulon" not in repr(door.lines)


def test_the_later_of_two_different_reports_counts_and_is_said_to_correct(wire: Wire, door: Door) -> None:
    """The same report again says nothing new, and nothing."""
    for told in (report("A"), report("A"), report("A", 31), report("B")):
        wire.send(told, to="calls")
    found = [("A", "due", None, False), ("A", "lost", "forwarded too late", True), ("B", "due", None, True)]
    assert wait_kept(door, 3) == found
    door.wait_for(lambda: len(lines(door, "call.reported")) == 3, "each is said once")
    assert lines(door, "call.corrected") == [{"lead_id": "A"}]


def test_reports_that_came_while_the_ledger_was_away_are_kept_when_it_is_back(wire: Wire, sold: Ledger) -> None:
    moody = Moody(sold)
    moody.after = True  # what was committed is not known to be: the same batch comes again
    moody.away.set()
    with opened(calls_door(wire.url, moody)) as door:
        wire.send(report("A"), to="calls")
        door.wait_for(lambda: moody.calls >= 3, "it is tried again")
        assert lines(door, "call.reported") == []
        moody.away.clear()
        door.wait_for(lambda: lines(door, "call.reported"), "it is said")
        assert kept(sold) == [("A", "due", None, True)]
        door.close()
        assert (wire.depth("calls"), wire.depth("calls.dead")) == (0, 0)


def test_what_a_reader_that_died_held_is_taken_over_and_leads_are_not(redis_wire: RedisWire, sold: Ledger) -> None:
    """Each list has holders of its own."""
    redis_wire.client.lpush("calls.held.gone", json.dumps(report("A")))
    redis_wire.client.zadd("calls.holders", {"gone": 1})
    redis_wire.client.lpush("leads.held.gone", json.dumps(lead("L-1")))
    redis_wire.client.zadd("leads.holders", {"gone": 1})
    with opened(calls_door(redis_wire.url, sold)) as door:
        assert wait_kept(door, 1) == [("A", "due", None, True)]
    assert redis_wire.client.llen("leads.held.gone") == 1


def test_a_report_that_is_put_back_is_read_again(
    wire: Wire, redis_url: str, sold: Ledger, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Once what was wrong with it has been mended."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PINGPOST_BROKER_URL", wire.url)
    monkeypatch.setenv("PINGPOST_STATE_URL", redis_url)
    with opened(calls_door(wire.url, sold)) as door:
        wire.send(report("D"), to="calls")
        door.wait_for(lambda: wire.depth("calls.dead"), "it is buried")
        put(sold, ended("D", at=SOLD_AT))
        told = CliRunner().invoke(main, ["dead", "list", "--json"]).stdout
        assert [(letter["queue"], letter["reason"]) for letter in json.loads(told)] == [
            ("calls.dead", "lead_id: no such lead")
        ]
        assert CliRunner().invoke(main, ["dead", "requeue", "calls.dead", "1"]).exit_code == 0
        assert wait_kept(door, 1) == [("D", "due", None, True)]
        assert wire.depth("calls.dead") == 0


def test_a_fault_of_ours_in_reading_calls_is_an_alarm_and_it_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must not close the door to leads."""
    monkeypatch.setattr(intake, "AGAIN_S", 0.01)
    stop = threading.Event()
    tries: list[int] = []

    class Reader(Intake):
        def __init__(self) -> None:
            """Have nothing to read from."""

        def run(self, stop: threading.Event) -> None:
            tries.append(1)
            if len(tries) < 3:
                raise KeyError("secret")
            stop.set()

    with capture_logs() as said:
        intake.read_calls(Reader, stop)
    assert [line["event"] for line in said] == ["alarm", "alarm"]
    assert "secret" not in repr(said)

"""A good lead: into the ledger, on its way, off the queue; whoever sends it, however often."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import kombu
import pytest
from structlog.testing import capture_logs

from tasks.core.outcome import Outcome, Stage, Status
from tasks.core.protocol import Call
from tasks.core.states import State
from tasks.ledger import Ledger
from tasks.ledger.moves import Move
from tasks.ledger.rows import from_ms, to_ms
from tests.frontdoor.house import FrontDoor, lead
from tests.frontdoor.wire import AmqpWire, RedisWire, Wire, encode
from workers.intake.message import Message


def row(ledger: Ledger, lead_id: str) -> Any:
    found = ledger.lead(lead_id)
    assert found is not None
    return found


def test_a_plain_lead_is_committed_started_and_taken_off_the_queue(wire: Wire, door: FrontDoor) -> None:
    wire.send(lead("L-1", firstname="John"))
    door.wait_started("L-1")
    assert row(door.ledger, "L-1").state is State.RECEIVED
    assert row(door.ledger, "L-1").fields["firstname"] == "John"
    door.close()
    assert wire.depth("leads") == 0


def test_leads_start_in_the_order_in_which_they_were_sent(wire: Wire, door: FrontDoor) -> None:
    names = [f"L-{number}" for number in range(120)]
    for name in names:
        wire.send(lead(name))
    door.wait_started(*names)


def test_a_kombu_producer_needs_to_know_nothing_else(wire: Wire, door: FrontDoor) -> None:
    wire.send_kombu(lead("K-1"), serializer="json")
    wire.send_kombu(b'{"lead_id":"K-2","numcategory":"16001","subid":"1","transfer_type":"1","zipcode":"33139"}')
    door.wait_started("K-1", "K-2")


@pytest.mark.parametrize("priority", [3, 6, 9])
def test_kombu_priorities_on_redis_are_read_too(redis_wire: RedisWire, redis_door: FrontDoor, priority: int) -> None:
    redis_wire.send_kombu(lead("P-1"), priority=priority)
    redis_door.wait_started("P-1")


def test_the_first_call_is_the_one_of_the_lead_s_flow(wire: Wire, door: FrontDoor) -> None:
    wire.send(lead("F-1", flow="one_step"))
    wire.send(lead("F-2", flow="direct_post", price="12.50"))
    door.wait_started("F-1", "F-2")
    assert door.started == [("F-1", Call.ONE_STEP), ("F-2", Call.DIRECT_POST)]
    assert str(row(door.ledger, "F-2").offered_price) == "12.50"


def test_the_message_id_stands_in_for_the_lead_id(wire: Wire, door: FrontDoor) -> None:
    offered = lead("M-1")
    del offered["lead_id"]
    wire.send_kombu(offered, message_id="M-1")
    door.wait_started("M-1")


def test_a_deadline_that_has_passed_is_left_to_the_first_step(wire: Wire, door: FrontDoor) -> None:
    wire.send(lead("D-1", created_at="2020-01-01T00:00:00Z"))
    door.wait_started("D-1")
    assert row(door.ledger, "D-1").remaining_s < 0


@pytest.mark.parametrize("unit", [1, 1000], ids=["seconds", "milliseconds"])
def test_the_deadline_counts_from_the_amqp_timestamp(amqp_wire: AmqpWire, amqp_door: FrontDoor, unit: int) -> None:
    sent = int(time.time()) - 5
    amqp_wire.send(lead("T-1", deadline_s=20), timestamp=sent * unit)
    amqp_door.wait_started("T-1")
    assert row(amqp_door.ledger, "T-1").deadline_ms == (sent + 20) * 1000


def test_created_at_wins_over_the_amqp_timestamp(amqp_wire: AmqpWire, amqp_door: FrontDoor) -> None:
    amqp_wire.send(lead("T-2", created_at="2026-01-01T00:00:00Z", deadline_s=20), timestamp=int(time.time()))
    amqp_door.wait_started("T-2")
    assert from_ms(row(amqp_door.ledger, "T-2").deadline_ms).isoformat() == "2026-01-01T00:00:20+00:00"


@pytest.mark.parametrize("timestamp", [0, 2**64 - 1], ids=["zero", "absurd"])
def test_a_timestamp_that_is_no_time_counts_as_none(amqp_wire: AmqpWire, amqp_door: FrontDoor, timestamp: int) -> None:
    amqp_wire.send(lead("T-3"), timestamp=timestamp)
    amqp_door.wait_started("T-3")
    assert row(amqp_door.ledger, "T-3").remaining_s > 0


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "no-such-thing", "latin-1"])
def test_the_body_s_bytes_are_read_as_they_are_whatever_encoding_is_claimed(
    amqp_wire: AmqpWire, amqp_door: FrontDoor, encoding: str
) -> None:
    amqp_wire.send(
        '{"lead_id":"E-1","numcategory":16001,"subid":"ü","transfer_type":1,"zipcode":"33139"}'.encode(),
        content_encoding=encoding,
    )
    amqp_door.wait_started("E-1")
    assert row(amqp_door.ledger, "E-1").subid == "ü"


def end(ledger: Ledger, lead_id: str) -> Outcome:
    """End a lead as a worker would."""
    at = from_ms(to_ms(from_ms(0)) + 1_800_000_000_000)
    outcome = Outcome(lead_id, Status.REJECTED, Stage.PING, at, 16001, "123", lead_id, code=5000, reason="No coverage")
    assert ledger.move(row(ledger, lead_id), Move(State.REJECTED, outcome=outcome))
    return outcome


def test_a_lead_sent_again_after_its_end_gets_its_outcome_once_more(wire: Wire, door: FrontDoor) -> None:
    wire.listen()
    wire.send(lead("R-1"))
    door.wait_started("R-1")
    outcome = end(door.ledger, "R-1")
    wire.send_kombu(lead("R-1"), reply_to=wire.queue("answers"), correlation_id="second")
    expected = outcome.message() | {"replayed": True}
    assert wire.outcomes() == [expected]
    answer = wire.read("answers")[0]
    assert (answer.json, answer.properties["correlation_id"]) == (expected, "second")
    assert len(door.started) == 1


def test_a_second_sending_that_the_broker_repeats_is_answered(wire: Wire, door: FrontDoor) -> None:
    """The intake died with it in its hands: it looks like the first sending, whose address it has, and still waits."""
    wire.queue("answers")
    asking = Message(encode(lead("A-9")), reply_to="answers", correlation_id="c")
    assert door.receiver.receive([asking]) == []
    end(door.ledger, "A-9")

    assert door.receiver.receive([replace(asking, redelivered=True)]) == []

    (answer,) = wire.read("answers")
    assert (answer.json["lead_id"], answer.json["status"]) == ("A-9", "rejected")


def test_a_lead_sent_again_in_flight_leaves_its_address_and_is_not_started_again(wire: Wire, door: FrontDoor) -> None:
    wire.send(lead("R-2"))
    wire.send_kombu(lead("R-2"), reply_to="answers", correlation_id="second")
    wire.send(lead("R-3"))
    door.wait_started("R-2", "R-3")
    end(door.ledger, "R-2")
    untold = door.ledger.untold_of("R-2")
    assert untold is not None
    assert [(r.address, r.correlation_id, r.replayed) for r in untold.replies] == [("answers", "second", True)]


def test_a_plain_reply_on_redis_is_kept_as_a_list(redis_wire: RedisWire, redis_door: FrontDoor) -> None:
    redis_wire.send(lead("R-4"), reply_to="my-answers")
    redis_door.wait_started("R-4")
    end(redis_door.ledger, "R-4")
    untold = redis_door.ledger.untold_of("R-4")
    assert untold is not None
    assert [(r.medium, r.address) for r in untold.replies] == [("list", "my-answers")]


def test_a_reply_field_over_amqp_names_a_queue(amqp_wire: AmqpWire, amqp_door: FrontDoor) -> None:
    amqp_wire.send(lead("R-5", reply_to="inside"))
    amqp_wire.send(lead("R-6", reply_to="inside"), reply_to="outside", correlation_id="c")
    amqp_door.wait_started("R-5", "R-6")
    replies = []
    for lead_id in ("R-5", "R-6"):
        end(amqp_door.ledger, lead_id)
        untold = amqp_door.ledger.untold_of(lead_id)
        assert untold is not None
        replies += [(r.medium, r.address, r.correlation_id) for r in untold.replies]
    assert replies == [("queue", "inside", None), ("queue", "outside", "c")]


def test_many_doors_take_each_lead_once(wire: Wire, ledger: Ledger, protocol: Any) -> None:
    doors = [FrontDoor(wire.url, ledger, protocol) for _ in range(3)]
    with capture_logs() as lines:
        for door in doors:
            door.lines = lines
            door.open()
        names = {f"N-{number}" for number in range(200)}
        for name in sorted(names):
            wire.send(lead(name))
        doors[0].wait_for(lambda: sum(len(door.started) for door in doors) >= 200, "all started")
        for door in doors:
            door.close()
    kombu.pools.reset()
    started = [lead_id for door in doors for lead_id, _ in door.started]
    assert sorted(started) == sorted(names)

"""What is no lead, and what is one that breaks rules."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import amqp
import pytest

from tasks.ledger import Ledger
from tasks.ledger.schema import leads, refusals
from tests.frontdoor.house import FrontDoor, lead, open_door
from tests.frontdoor.wire import AmqpWire, RedisWire, Wire

NO_LEADS = {
    "no JSON": (b"hello", "not JSON"),
    "empty": (b"", "not JSON"),
    "a list": (b"[1]", "not a JSON object"),
    "not UTF-8": (b'{"lead_id": "\xff"}', "not UTF-8"),
    "too long": (json.dumps(lead("X-1", comments="x" * 66_000)).encode(), "longer than 65536 bytes"),
    "no id": (json.dumps({"zipcode": "33139"}).encode(), "lead_id: required"),
    "an empty id": (json.dumps(lead("")).encode(), "lead_id: must be a string, not empty"),
    "a number for an id": (json.dumps({**lead("x"), "lead_id": 7}).encode(), "lead_id: must be a string, not empty"),
    "an endless id": (json.dumps(lead("x" * 256)).encode(), "lead_id: longer than 255 bytes"),
    "an id of endless bytes": (json.dumps(lead("ü" * 200)).encode(), "lead_id: longer than 255 bytes"),
    "a key twice": (b'{"lead_id":"X-2","lead_id":"X-3"}', "a key stands twice"),
    "a megabyte": (json.dumps(lead("X-4", comments="x" * 1_000_000)).encode(), "longer than 65536 bytes"),
    "nested deeply": (b'{"lead_id":"X-5","comments":' + b"[" * 30_000 + b"]" * 30_000 + b"}", "nested too deeply"),
    "NaN": (b'{"lead_id":"X-6","price":NaN}', "NaN and infinities are not JSON"),
    "a huge integer": (b'{"lead_id":"X-7","numcategory":1' + b"0" * 5_000 + b"}", "a number is too long"),
    "half a character": (b'{"lead_id":"X-8","comments":"\\ud800"}', "half a character (a lone surrogate)"),
}


def refused(ledger: Ledger) -> list[tuple[str, str]]:
    rows = ledger.read(lambda connection: list(connection.execute(refusals.select().order_by(refusals.c.id))))
    return [(row.lead_id, row.reason) for row in rows]


def count(ledger: Ledger) -> int:
    return ledger.read(lambda connection: len(list(connection.execute(leads.select()))))


@pytest.mark.parametrize(("body", "reason"), NO_LEADS.values(), ids=NO_LEADS)
def test_what_is_no_lead_goes_to_the_dead_whole_with_its_reason(
    wire: Wire, door: FrontDoor, body: bytes, reason: str
) -> None:
    wire.send(body)
    wire.send(lead("after"))
    door.wait_started("after")
    (letter,) = wire.read("leads.dead")
    assert (letter.body, letter.headers["x-reason"]) == (body, reason)
    assert count(door.ledger) == 1
    door.close()
    assert wire.depth("leads") == 0


def test_a_dead_letter_keeps_the_properties_it_came_with(amqp_wire: AmqpWire, amqp_door: FrontDoor) -> None:
    amqp_wire.send(b"hello", message_id="m", reply_to="r", correlation_id="c", content_type="text/plain")
    (letter,) = amqp_wire.read("leads.dead")
    kept = {name: letter.properties.get(name) for name in ("message_id", "reply_to", "correlation_id", "content_type")}
    assert kept == {"message_id": "m", "reply_to": "r", "correlation_id": "c", "content_type": "text/plain"}


def test_a_kombu_body_that_is_no_lead_is_buried_without_its_envelope(
    redis_wire: RedisWire, redis_door: FrontDoor
) -> None:
    redis_wire.send_kombu(b"hello", message_id="m")
    (letter,) = redis_wire.read("leads.dead")
    assert letter.body == b"hello"


@pytest.mark.parametrize("body", ["!", 7, None], ids=["not base64", "a number", "null"])
def test_an_envelope_that_cannot_be_opened_is_buried_whole(
    redis_wire: RedisWire, redis_door: FrontDoor, body: object
) -> None:
    raw = json.dumps({"body": body, "properties": {"body_encoding": "base64"}, "headers": {}}).encode()
    redis_wire.send(raw)
    (letter,) = redis_wire.read("leads.dead")
    assert (letter.body, letter.headers["x-reason"]) == (raw, "the envelope's body cannot be decoded")


def test_an_envelope_without_an_encoding_holds_plain_text(redis_wire: RedisWire, redis_door: FrontDoor) -> None:
    redis_wire.send(json.dumps({"body": json.dumps(lead("B-1")), "properties": {}, "headers": {}}).encode())
    text = base64.b64encode(json.dumps(lead("B-2")).encode()).decode()
    redis_wire.send(json.dumps({"body": text, "properties": {"body_encoding": "base64"}, "headers": {}}).encode())
    redis_door.wait_started("B-1", "B-2")


class Unreadable:
    """Properties that RabbitMQ lets pass and py-amqp cannot read: an id that is not UTF-8, a time beyond all years."""

    ID = struct.pack(">HB", 0x0080, 2) + b"\xff\xfe"
    TIME = struct.pack(">HI", 0x2000, 11) + b"\x01kT" + b"\xff" * 8


@pytest.mark.parametrize("properties", [Unreadable.ID, Unreadable.TIME], ids=["id", "time"])
def test_properties_that_nobody_can_read_neither_break_the_door_nor_pass_it(
    amqp_wire: AmqpWire, amqp_door: FrontDoor, properties: bytes
) -> None:
    message = amqp.Message(json.dumps(lead("U-1")).encode())
    message._serialize_properties = lambda: properties  # type: ignore[method-assign]
    amqp_wire.channel.basic_publish(message, exchange="", routing_key="leads")
    amqp_wire.send(lead("after"))
    amqp_door.wait_started("after")
    (letter,) = amqp_wire.read("leads.dead")
    assert letter.json == lead("U-1")
    assert letter.headers["x-reason"] == "unreadable properties"
    assert "broker.away" not in amqp_door.events


def test_an_invalid_lead_is_answered_with_every_fault_and_leaves_its_id_free(wire: Wire, door: FrontDoor) -> None:
    wire.listen()
    bad = lead("I-1", zipcode="331", subid="s", customid="mine") | {"numcategory": 1, "colour": "red", "price": "a"}
    wire.send_kombu(bad, reply_to=wire.queue("answers"), correlation_id="c-1")
    (outcome,) = wire.outcomes()
    (answer,) = wire.read("answers")
    assert answer.json == outcome
    assert answer.properties["correlation_id"] == "c-1"
    assert {name: outcome.get(name) for name in ("lead_id", "status", "stage", "subid", "customid", "numcategory")} == {
        "lead_id": "I-1",
        "status": "invalid",
        "stage": "intake",
        "subid": "s",
        "customid": "mine",
        "numcategory": None,
    }
    assert sorted(fault.partition(":")[0] for fault in outcome["reason"].split("; ")) == [
        "colour",
        "numcategory",
        "price",
        "zipcode",
    ]
    assert refused(door.ledger) == [("I-1", outcome["reason"])]
    door.wait_for(door.outcome_lines, "the line that is written once the outcome is told")
    assert [line["lead_id"] for line in door.outcome_lines()] == ["I-1"]
    wire.send(lead("I-1"))
    door.wait_started("I-1")


FORGED = '\n{"event": "lead.outcome", "status": "sold"}'
CONTROLLING = {
    "a line that looks like ours": FORGED,
    "a terminal's escape": "\x1b[2J\x1b[31m",
    "a carriage return and a header": "\r\nX-Injected: 1",
    "a NUL": "\0",
}


@pytest.mark.parametrize("name", ["firstname", "customid", "subid"])  # a comment may have lines
@pytest.mark.parametrize("text", CONTROLLING.values(), ids=CONTROLLING)
def test_control_characters_are_a_fault_that_is_named_and_not_repeated(
    wire: Wire, door: FrontDoor, name: str, text: str
) -> None:
    wire.listen()
    wire.send(lead("I-1", **{name: f"a{text}b"}))
    (outcome,) = wire.outcomes()
    assert outcome["status"] == "invalid"
    assert outcome["reason"].startswith(f"{name}: ")
    assert text not in outcome["reason"]
    assert text not in json.dumps(door.lines, default=str, ensure_ascii=False)


@pytest.mark.parametrize("text", CONTROLLING.values(), ids=CONTROLLING)
def test_control_characters_in_an_id_reach_no_log_line(wire: Wire, door: FrontDoor, text: str) -> None:
    wire.listen()
    wire.send(lead(f"I-1{text}"))
    wire.send(lead("after"))
    door.wait_started("after")
    assert text not in json.dumps(door.lines, default=str, ensure_ascii=False)


def test_an_ill_formed_id_is_echoed_to_its_sender_and_kept_out_of_logs_and_ledger(wire: Wire, door: FrontDoor) -> None:
    wire.listen()
    wire.send(lead("john doe@example.com"))
    (outcome,) = wire.outcomes()
    assert outcome["lead_id"] == "john doe@example.com"
    door.wait_for(door.outcome_lines, "a line")
    door.wait_for(door.outcome_lines, "the line that is written once the outcome is told")
    assert [line["lead_id"] for line in door.outcome_lines()] == ["(ill-formed)"]
    assert [lead_id for lead_id, _ in refused(door.ledger)] == ["(ill-formed)"]
    assert "example.com" not in repr(door.lines)


def test_the_same_id_with_other_content_is_invalid_and_changes_nothing(wire: Wire, door: FrontDoor) -> None:
    wire.listen()
    wire.send(lead("C-1"))
    wire.send(lead("C-1", zipcode="10001", reply_to="conflicts"))
    (outcome,) = wire.outcomes()
    assert (outcome["status"], outcome["reason"]) == ("invalid", "lead_id: already used for another lead")
    door.wait_started("C-1")
    row = door.ledger.lead("C-1")
    assert row is not None
    assert row.fields["zipcode"] == "33139"


def test_an_invalid_lead_in_test_mode_says_so(wire: Wire, ledger: Ledger, protocol: Any) -> None:
    wire.listen()
    with open_door(wire.url, ledger, protocol, test=True):
        wire.send({"lead_id": "T-1"})
        assert wire.outcomes()[0]["test"] is True


@pytest.mark.parametrize("address", ["leads", "leads.dead", "dead", "calls", "ping", "post", "upkeep", "outcomes"])
def test_an_answer_is_never_sent_to_a_queue_of_ours(wire: Wire, door: FrontDoor, address: str) -> None:
    wire.listen()
    wire.send(lead("A-1", reply_to=address))
    (outcome,) = wire.outcomes()
    assert (outcome["status"], outcome["reason"]) == ("invalid", "reply_to: names a queue of ours")
    door.close()
    assert wire.depth("leads") == 0
    assert door.started == []


@pytest.mark.parametrize("address", ["pingpost:gate", "_kombu.binding.outcomes", "unacked", "leads.held.x"])
def test_an_answer_is_never_pushed_onto_what_is_kept_beside_the_queues(
    redis_wire: RedisWire, redis_door: FrontDoor, address: str
) -> None:
    redis_wire.listen()
    redis_wire.send(lead("A-2", reply_to=address))
    assert redis_wire.outcomes()[0]["reason"] == "reply_to: names a queue of ours"


@pytest.mark.parametrize("address", ["ü" * 200, "x" * 256, "a\x00b"], ids=["bytes", "characters", "control"])
def test_an_address_that_no_queue_can_have_is_a_fault(wire: Wire, door: FrontDoor, address: str) -> None:
    wire.listen()
    wire.send(lead("A-3", reply_to=address))
    (outcome,) = wire.outcomes()
    assert outcome["status"] == "invalid"
    assert "reply_to: " in outcome["reason"]


def test_a_correlation_that_no_ledger_can_keep_is_a_fault(wire: Wire, door: FrontDoor) -> None:
    wire.listen()
    wire.send_kombu(lead("A-4"), reply_to="answers", correlation_id="a\x00b")
    assert wire.outcomes()[0]["reason"].startswith("correlation_id: ")


@pytest.mark.parametrize("enveloped", [False, True])
def test_a_reply_list_that_is_no_list_stops_nobody(
    redis_wire: RedisWire, redis_door: FrontDoor, enveloped: bool
) -> None:
    """Whether it stands in the plain lead or in kombu's envelope; what is somebody else's stays so, for ever."""
    redis_wire.client.set("somebody", "else")
    redis_wire.listen()
    if enveloped:
        redis_wire.send_kombu({"lead_id": "W-1"}, reply_to="somebody", correlation_id="c")
    else:
        redis_wire.send({"lead_id": "W-1", "reply_to": "somebody"})
    redis_wire.send(lead("W-2"))
    redis_door.wait_started("W-2")
    assert [outcome["lead_id"] for outcome in redis_wire.outcomes()] == ["W-1"]
    assert len(refused(redis_door.ledger)) == 1
    assert redis_wire.client.get("somebody") == b"else"
    assert redis_wire.client.ttl("somebody") == -1


@pytest.mark.parametrize("invalid", [True, False])
def test_a_reply_queue_that_is_full_stops_nobody(amqp_wire: AmqpWire, amqp_door: FrontDoor, invalid: bool) -> None:
    """RabbitMQ refuses what a queue with `reject-publish` has no room for: its owner's loss, and nobody else's."""
    amqp_wire.channel.queue_declare(
        "full", auto_delete=False, arguments={"x-max-length": 0, "x-overflow": "reject-publish"}
    )
    amqp_wire.listen()
    first = {"lead_id": "F-1"} if invalid else lead("F-1")
    amqp_wire.send_kombu(first, reply_to="full", correlation_id="c")
    amqp_wire.send(lead("F-2"))
    amqp_door.wait_started(*(("F-2",) if invalid else ("F-1", "F-2")))
    if invalid:
        assert [outcome["lead_id"] for outcome in amqp_wire.outcomes()] == ["F-1"]
        assert len(refused(amqp_door.ledger)) == 1


def test_the_answer_to_a_plain_lead_on_redis_is_plain_and_expires(redis_wire: RedisWire, redis_door: FrontDoor) -> None:
    redis_wire.send({"lead_id": "P-1", "reply_to": "plain"})
    redis_door.wait_for(lambda: 0 < redis_wire.client.ttl("plain") <= 3600, "an answer that expires")
    assert redis_wire.pop("plain")["status"] == "invalid"

"""The Python producer: a future for every lead, whatever happens to connections."""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from decimal import Decimal
from typing import Any

import pytest

from tasks.absence import Absence
from tasks.ledger import Reply
from tests.frontdoor.house import lead
from tests.frontdoor.wire import AmqpWire, RedisWire, Wire
from workers.intake import open_source
from workers.intake.message import Message
from workers.producer import BrokerAway, Producer, ProducerClosed
from workers.sending import Parcel, open_sender
from workers.tellers import open_teller


def sold(_given: dict[str, Any]) -> dict[str, Any]:
    return {}


Answer = Callable[[dict[str, Any]], dict[str, Any] | None]
ENOUGH_S = 20


class Responder:
    """Whoever sells leads, at its simplest: reads `leads`, and tells an outcome to whoever asked."""

    def __init__(self, url: str, answer: Answer) -> None:
        self.seen: list[dict[str, Any]] = []
        self._answer = answer
        self._source = open_source(url)
        self._teller = open_teller(url, Absence("broker"), 4)
        self._stop = threading.Event()
        self._source.open()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            batch = self._source.take(0.05)
            for message in batch:
                self._handle(message)
            if batch:
                self._source.ack(batch)

    def _handle(self, message: Message) -> None:
        given = json.loads(message.body)
        self.seen.append(given)
        outcome = self._answer(given)
        address = message.reply_to or given.get("reply_to")
        if outcome is None or not address:
            return
        reply = Reply(message.medium, address, message.correlation_id)
        full = {"lead_id": given["lead_id"], "status": "sold", "stage": "post", **outcome}
        self._teller.tell(full, [reply], now=None)  # type: ignore[arg-type]  # nothing here is ever late

    def close(self) -> None:
        self._stop.set()
        self._thread.join(ENOUGH_S)
        self._source.close()
        self._teller.close()


@pytest.fixture
def respond(wire: Wire) -> Iterator[Callable[[Answer], Responder]]:
    responders: list[Responder] = []

    def begin(answer: Answer) -> Responder:
        responders.append(Responder(wire.url, answer))
        return responders[-1]

    yield begin
    for responder in responders:
        responder.close()


@pytest.fixture
def producer(wire: Wire) -> Iterator[Producer]:
    with Producer(wire.url, patience_s=5) as producer:
        yield producer


Respond = Callable[[Answer], Responder]


def test_a_future_brings_the_outcome_of_its_lead(producer: Producer, respond: Respond) -> None:
    respond(lambda given: {"phone_number": "8005550100", "token": given["lead_id"]})
    outcome = producer.submit(lead("P-1")).result(ENOUGH_S)
    assert outcome == {
        "lead_id": "P-1",
        "status": "sold",
        "stage": "post",
        "phone_number": "8005550100",
        "token": "P-1",
    }


def test_eight_threads_share_a_producer_and_none_gets_another_s_outcome(producer: Producer, respond: Respond) -> None:
    respond(lambda given: {"token": f"t-{given['lead_id']}"})

    def sell(thread: int) -> list[tuple[str, str]]:
        futures = [(f"T-{thread}-{number}", producer.submit(lead(f"T-{thread}-{number}"))) for number in range(40)]
        return [(name, future.result(ENOUGH_S)["token"]) for name, future in futures]

    with ThreadPoolExecutor(8) as threads:
        sold = [pair for pairs in threads.map(sell, range(8)) for pair in pairs]
    assert len(sold) == 320
    assert all(token == f"t-{name}" for name, token in sold)


def test_the_same_lead_submitted_twice_resolves_both_futures(producer: Producer, respond: Respond) -> None:
    both = [producer.submit(lead("S-1")), producer.submit(lead("S-1"))]
    respond(sold)
    assert [future.result(ENOUGH_S)["lead_id"] for future in both] == ["S-1", "S-1"]


def test_another_lead_under_the_same_id_gets_its_own_refusal(producer: Producer, respond: Respond) -> None:
    good, bad = producer.submit(lead("S-2")), producer.submit(lead("S-2", zipcode="10001"))
    respond(lambda given: {"status": "sold" if given["zipcode"] == "33139" else "invalid"})
    assert [good.result(ENOUGH_S)["status"], bad.result(ENOUGH_S)["status"]] == ["sold", "invalid"]


def test_an_id_is_taken_from_the_call_then_from_the_lead_then_made(producer: Producer, respond: Respond) -> None:
    respond(sold)
    fields = {name: value for name, value in lead("x").items() if name != "lead_id"}
    made = producer.submit(fields).result(ENOUGH_S)["lead_id"]
    assert len(made) == 32
    assert producer.submit(lead("own")).result(ENOUGH_S)["lead_id"] == "own"
    assert producer.submit(lead("own"), lead_id="call").result(ENOUGH_S)["lead_id"] == "call"


def test_money_travels_as_a_decimal_string_and_seconds_as_a_number(producer: Producer, respond: Respond) -> None:
    responder = respond(sold)
    producer.submit(lead("D-1", price=Decimal("12.50"), deadline_s=Decimal("2.5"))).result(ENOUGH_S)
    assert (responder.seen[0]["price"], responder.seen[0]["deadline_s"]) == ("12.50", 2.5)


def test_what_json_cannot_hold_is_refused_at_the_call(producer: Producer) -> None:
    with pytest.raises(TypeError, match="a lead cannot hold a object"):
        producer.submit(lead("J-1", comments=object()))


def test_many_leads_are_published_at_once_in_their_order(producer: Producer, wire: Wire) -> None:
    names = [f"M-{number}" for number in range(450)]
    assert producer.publish_many(lead(name) for name in names) == 450
    source = open_source(wire.url)
    source.open()
    found: list[str] = []
    while len(found) < 450:
        batch = source.take(1)
        found += [json.loads(message.body)["lead_id"] for message in batch]
        source.ack(batch)
    source.close()
    assert found == names


def test_closing_fails_what_still_waits_and_says_why(wire: Wire) -> None:
    producer = Producer(wire.url)
    future = producer.submit(lead("C-1"))
    producer.close()
    producer.close()
    with pytest.raises(ProducerClosed, match="closed before the outcome of C-1 came"):
        future.result(0)
    with pytest.raises(ProducerClosed):
        producer.submit(lead("C-2"))


def test_a_cancelled_future_stops_nobody(producer: Producer, respond: Respond) -> None:
    cancelled = producer.submit(lead("X-1"))
    assert cancelled.cancel()
    respond(sold)
    assert producer.submit(lead("X-2")).result(ENOUGH_S)["lead_id"] == "X-2"


def test_a_broker_that_is_away_fails_the_future_within_the_patience() -> None:
    for url in ("amqp://guest:guest@127.0.0.1:9//", "redis://127.0.0.1:9/0"):
        with Producer(url, patience_s=0.3) as producer:
            with pytest.raises(BrokerAway):
                producer.submit(lead("B-1")).result(ENOUGH_S)
            with pytest.raises(BrokerAway):
                producer.publish_many([lead("B-2")])


def cut(wire: Wire, producer: Producer) -> None:
    """Cut both of a producer's connections, as a network does."""
    if isinstance(wire, RedisWire):
        wire.client.client_kill_filter(_type="normal", skipme=True)
        return
    ear: Any = producer._ear
    sender: Any = producer._sender
    for connection in (ear._connection, sender._connection):
        connection.connection.transport.sock.shutdown(2)


def test_what_waits_is_asked_for_again_when_the_connection_was_cut(
    wire: Wire, producer: Producer, request: pytest.FixtureRequest
) -> None:
    futures: list[Future[dict[str, Any]]] = [producer.submit(lead(f"R-{number}")) for number in range(5)]
    cut(wire, producer)
    respond: Respond = request.getfixturevalue("respond")
    respond(sold)
    done, _ = wait(futures, ENOUGH_S)
    assert {future.result()["lead_id"] for future in done} == {f"R-{number}" for number in range(5)}
    assert producer.submit(lead("R-6")).result(ENOUGH_S)["lead_id"] == "R-6"


def test_junk_in_the_reply_queue_is_passed_over(wire: Wire, producer: Producer, respond: Respond) -> None:
    responder = respond(lambda given: None if given["lead_id"] == "J-1" else {})
    producer.submit(lead("J-1"))
    if isinstance(wire, RedisWire):
        ear: Any = producer._ear
        wire.client.lpush(ear._lists[0], b"junk", b"[]", b"{}")
    else:
        assert isinstance(wire, AmqpWire)
        ear = producer._ear
        wire._connection.Producer().publish(b"junk", routing_key=ear._queue, correlation_id="x")
    assert producer.submit(lead("J-2")).result(ENOUGH_S)["lead_id"] == "J-2"
    assert [given["lead_id"] for given in responder.seen] == ["J-1", "J-2"]


def test_what_was_made_ready_beside_what_nobody_can_send_is_not_sent_with_the_next(amqp_wire: AmqpWire) -> None:
    """Whoever was told that it failed sends it again: it must not go out by itself meanwhile."""
    sender = open_sender(amqp_wire.url)
    with pytest.raises(struct.error):
        sender.send([Parcel(b"{}", "A"), Parcel(b"{}", "x" * 256)])
    sender.send([Parcel(b"{}", "C")])
    source = open_source(amqp_wire.url)
    source.open()
    assert [message.message_id for message in source.take(ENOUGH_S)] == ["C"]
    source.close()
    sender.drop()

"""A ledger or a broker that is away: nothing is lost, nothing is thrown at the dead, and one line says so."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import DataError, IntegrityError, InterfaceError, OperationalError, ProgrammingError

from tasks.core.protocol import Call, Protocol
from tasks.ledger import Arrival, Ledger, Receipt
from tasks.ledger.away import is_away, why_away
from tests.frontdoor.house import FrontDoor, lead, open_door
from tests.frontdoor.wire import AmqpWire, RedisWire, Wire
from workers.intake.loop import Growing

T = TypeVar("T")


class Moody(Ledger):
    """A ledger that is away for some calls; `after` commits first, and loses the answer."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger.engine)
        self.away = threading.Event()
        self.after = False
        self.calls = 0

    def write(self, work: Callable[[Connection], T]) -> T:
        self.calls += 1
        if not self.away.is_set():
            return super().write(work)
        with self._absence.watch(why_away):
            if self.after:
                self._commit.write(work)
            raise OperationalError("INSERT", {}, Exception("gone"))


@pytest.mark.parametrize("after", [False, True], ids=["before the commit", "after the commit"])
def test_a_ledger_that_was_away_gets_every_lead_when_it_is_back(
    wire: Wire, ledger: Ledger, protocol: Protocol, after: bool
) -> None:
    moody = Moody(ledger)
    moody.after = after
    moody.away.set()
    with open_door(wire.url, moody, protocol) as door:
        wire.send_kombu(lead("A-1"), reply_to="answers", correlation_id="c")
        wire.send(lead("A-2"))
        door.wait_for(lambda: moody.calls >= 4, "it is tried again and again")
        assert door.started == []
        moody.away.clear()
        door.wait_started("A-1", "A-2")
        door.wait_for(lambda: "ledger.back" in door.events, "it is said")
        assert door.events.count("ledger.away") == door.events.count("ledger.back") == 1
        replies = ledger.read(lambda connection: list(connection.exec_driver_sql("SELECT replayed FROM replies")))
        assert [bool(replayed) for (replayed,) in replies] == [False], "its own second try is no second sending"
        door.close()
        assert (wire.depth("leads"), wire.depth("leads.dead")) == (0, 0)


def test_an_invalid_lead_is_answered_once_when_the_ledger_is_back(
    wire: Wire, ledger: Ledger, protocol: Protocol
) -> None:
    wire.listen()
    moody = Moody(ledger)
    moody.away.set()
    with open_door(wire.url, moody, protocol) as door:
        wire.send({"lead_id": "I-1"})
        door.wait_for(lambda: "ledger.away" in door.events, "it is said")
        assert door.outcome_lines() == []
        moody.away.clear()
        assert wire.outcomes()[0]["lead_id"] == "I-1"
        wire.send(lead("I-2"))
        door.wait_started("I-2")
        assert len(door.outcome_lines()) == 1


def test_an_intake_that_ends_while_the_ledger_is_away_leaves_its_batch_to_the_next(
    wire: Wire, ledger: Ledger, protocol: Protocol
) -> None:
    moody = Moody(ledger)
    moody.away.set()
    with open_door(wire.url, moody, protocol) as door:
        wire.send(lead("E-1"))
        door.wait_for(lambda: "ledger.away" in door.events, "it is said")
    with open_door(wire.url, ledger, protocol) as next_one:
        next_one.wait_started("E-1")


class Picky(Ledger):
    """A ledger that cannot write one lead."""

    def __init__(self, ledger: Ledger, fault: BaseException) -> None:
        super().__init__(ledger.engine)
        self._fault = fault

    def accept(self, arrivals: Sequence[Arrival]) -> list[Receipt]:
        if any(arrival.lead.lead_id == "bad" for arrival in arrivals):
            raise self._fault
        return super().accept(arrivals)


@pytest.mark.parametrize(
    "fault", [DataError("INSERT", {}, Exception("secret")), OverflowError("secret")], ids=["the database", "the driver"]
)
def test_a_lead_that_the_ledger_cannot_write_is_buried_and_holds_up_nobody(
    wire: Wire, ledger: Ledger, protocol: Protocol, fault: BaseException
) -> None:
    for name in ("one", "bad", "two"):
        wire.send(lead(name))
    with open_door(wire.url, Picky(ledger, fault), protocol) as door:
        door.wait_started("one", "two")
        (letter,) = wire.read("leads.dead")
        assert letter.json["lead_id"] == "bad"
        assert letter.headers["x-reason"] == f"the ledger refuses it: {type(fault).__name__}"
        assert "secret" not in repr(door.lines)


@pytest.mark.parametrize(
    ("fault", "away"),
    [
        (OperationalError("", {}, Exception()), True),
        (InterfaceError("", {}, Exception()), True),
        (ProgrammingError("", {}, Exception()), True),
        (DataError("", {}, Exception()), False),
        (IntegrityError("", {}, Exception()), False),
        (DataError("", {}, Exception(), connection_invalidated=True), True),
        (ValueError(), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_only_a_row_s_own_fault_is_not_the_ledger_s_absence(fault: BaseException, away: bool) -> None:
    assert is_away(fault) is away


def test_a_fault_of_ours_in_one_lead_holds_up_nobody(wire: Wire, ledger: Ledger, protocol: Protocol) -> None:
    def start(lead_id: str, call: Call) -> None:
        if lead_id == "bad":
            raise KeyError("secret")
        started.append(lead_id)

    started: list[str] = []
    with open_door(wire.url, ledger, protocol, start=start) as door:
        for name in ("bad", "good"):
            wire.send(lead(name))
        door.wait_for(lambda: started == ["good"], "the good one is started")
        door.close()
        assert (wire.depth("leads"), wire.depth("leads.dead")) == (0, 0), "the sweep finds the other in the ledger"
        assert "alarm" in door.events
        assert "secret" not in repr(door.lines)


def test_a_chain_that_cannot_be_published_is_published_when_the_broker_is_back(
    wire: Wire, ledger: Ledger, protocol: Protocol
) -> None:
    tries: list[str] = []

    def start(lead_id: str, call: Call) -> None:
        tries.append(lead_id)
        if len(tries) < 3:
            raise ConnectionResetError

    with open_door(wire.url, ledger, protocol, start=start) as door:
        wire.send(lead("P-1"))
        door.wait_for(lambda: len(tries) == 3, "tried until it works")
        door.wait_for(lambda: "broker.back" in door.events, "it is said")
        assert door.events.count("broker.away") == 1
        assert door.events.count("intake.ready") == 1


def test_connections_that_the_broker_cuts_are_opened_again(redis_wire: RedisWire, redis_door: FrontDoor) -> None:
    redis_wire.send(lead("C-1"))
    redis_door.wait_started("C-1")
    redis_wire.client.client_kill_filter(_type="normal", skipme=True)
    redis_wire.send(lead("C-2"))
    redis_door.wait_started("C-1", "C-2")


def test_a_queue_that_is_deleted_is_declared_and_read_again(amqp_wire: AmqpWire, amqp_door: FrontDoor) -> None:
    amqp_wire.send(lead("C-1"))
    amqp_door.wait_started("C-1")
    amqp_wire.channel.queue_delete("leads")
    amqp_door.wait_for(lambda: "broker.back" in amqp_door.events, "it is declared again")
    amqp_wire.send(lead("C-2"))
    amqp_door.wait_started("C-1", "C-2")


def test_delays_grow_and_have_a_bound() -> None:
    delays: list[Any] = [Growing(0.1, 5).delay_s(tries, 1.0) for tries in (1, 2, 3, 50)]
    assert delays == [0.1, 0.2, 0.4, 5]
    assert Growing(0.1, 5).delay_s(1, 0.0) == 0.05

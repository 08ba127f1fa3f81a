"""A simulated installation: real steps, sweep, front door and gates, between models of all that is outside.

Whoever drives a world (a seed, or Hypothesis) chooses at every step what happens next: a strand goes on to its next
effect, a message is delivered, time passes, a sweep begins, or something breaks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import time
from functools import cache, partial
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch
from zoneinfo import ZoneInfo

import structlog

from tasks import upkeep
from tasks.away import BROKER_AWAY
from tasks.buyers.registry import load_protocol
from tasks.core.caps import Calendar
from tasks.core.lead import Flow, Lead
from tasks.core.money import Money
from tasks.core.protocol import Call, Protocol
from tasks.gates import Register, SharedGates
from tasks.ledger import Arrival, LedgerError, Reply
from tasks.ledger.rows import from_ms
from tasks.results import GoOn, Later
from tasks.services import Rules, Services
from tasks.steps import take
from tests.declared import undeclared_call
from tests.simulation.broker import ModelBroker, Posted, Step
from tests.simulation.buyer import ModelBuyer
from tests.simulation.invariants import Broken, Invariants
from tests.simulation.ledger import ModelLedger
from tests.simulation.store import ModelStore
from tests.simulation.strands import Clock, Strand, effect
from workers.intake.receiver import Receiver
from workers.intake.writing import LedgerAway

Choose = Callable[[int], int]
Action = tuple[str, Callable[[], object]]

PROCESSES: Final = ("first", "second")
STRANDS_EACH: Final = 3
LEADS: Final = 3
FAULTS: Final = 6
LONGEST: Final = 240  # steps, before everything is mended and comes to rest
LEAPS_MS: Final = (0,) * 16 + (1_000, 1_000, 6_000, 15_000)
PATIENCE: Final = 3000  # steps until a mended world must be at rest
_FLOWS: Final = ((Flow.PING_POST, Call.PING), (Flow.PING_POST, Call.PING), (Flow.ONE_STEP, Call.ONE_STEP))
_RULES: Final = Rules(
    floor=Money(0),
    ping_timeout_s=2,
    post_timeout_s=8,
    partner_id="XYZ",
    cap_scope="category",
    calendar=Calendar(ZoneInfo("America/New_York"), time(0)),
    send_floor=False,
    send_price=False,
    retention_days=30,
)


@dataclass
class Process:
    """A worker: its own view of the gates, and its threads. A new one takes its place when it is killed."""

    name: str
    services: Services
    strands: list[tuple[Strand, Posted | None]] = field(default_factory=list)


class World:
    """One installation and its outside, from empty to rest."""

    def __init__(self, choose: Choose) -> None:
        self._choose = choose
        self.clock = Clock()
        self.ledger = ModelLedger(self.clock)
        self.store = ModelStore(self.clock)
        self.broker = ModelBroker(self.clock)
        self.buyer = ModelBuyer(self.clock, self._chosen)
        self.log: list[MutableMapping[str, Any]] = []
        self.undeclared: list[str] = []
        self.accepted: list[tuple[str, str]] = []
        self.trace: list[str] = []
        self.faults = 0
        self._sent = 0
        self.processes = {name: self._process(name) for name in PROCESSES}
        self.invariants = Invariants(self)
        for _ in range(1 + choose(LEADS)):
            self._send()

    def choose_by(self, choose: Choose) -> None:
        """Let somebody else choose from here on."""
        self._choose = choose

    def _chosen(self, choices: int) -> int:
        return self._choose(choices)

    # What may happen

    def step(self) -> None:
        """Let one thing happen, and check that everything still holds."""
        self._happen(self._next())

    def _happen(self, action: Action) -> None:
        name, act = action
        self.trace.append(name)
        act()
        self.invariants.after_step()

    def _next(self) -> Action:
        # Most of the time, work goes on; now and then something breaks, and rather in the midst of work than before it.
        roll = self._choose(32)
        if roll == 0 and self._sent < 2 * LEADS:
            return "a producer sends", self._send
        if roll in (1, 2) and self.faults < FAULTS and self._sent:
            return self._one_of(self._faults())
        if roll == 3:
            return self._one_of(
                [(f"{name} sweeps", partial(self._begin, name, "sweep", self._sweep)) for name in PROCESSES]
            )
        if roll > 4 and (work := self._strands() * 2 + self._deliveries()):
            return self._one_of(work)
        return "time passes", self._pass_time

    def _one_of(self, actions: Sequence[Action]) -> Action:
        return actions[self._choose(len(actions))]

    def _strands(self) -> list[Action]:
        return [
            (f"{process.name}: {strand.name} after {strand.at}", partial(self._resume, process, strand))
            for process in self.processes.values()
            for strand, _ in process.strands
            if strand.wakes_at <= self.clock.ms
        ]

    def _deliveries(self) -> list[Action]:
        return [
            (f"{_named(message)} is delivered to {process.name}", partial(self._deliver, process, message))
            for message in self.broker.ready()
            for process in self.processes.values()
            if len(process.strands) < STRANDS_EACH
        ]

    def _faults(self) -> list[Action]:
        faults: list[Action] = []
        for name in PROCESSES:
            faults += [
                (f"{name} is killed", partial(self._kill, name)),
                (f"{name} is cut off", partial(self._cut, name)),
            ]
        if self.broker.steps:
            faults += [("a message is lost", self._lose), ("a message is repeated", self._repeat)]
        for what in (self.ledger, self.broker, self.store):
            if not what.away:
                faults.append((f"{type(what).__name__} goes away", partial(setattr, what, "away", True)))
        faults.append(("the ledger will lose an answer", partial(setattr, self.ledger, "loses_answer", True)))
        faults.append(("the store forgets", self.store.forget_everything))
        return [(name, partial(self._fault, act)) for name, act in faults]

    def _fault(self, act: Callable[[], object]) -> None:
        self.faults += 1
        act()

    def rest(self) -> None:
        """Mend everything, run on until nothing is left to do, and check the end."""
        while self._sent < LEADS:
            self._send()
        self.faults = FAULTS
        self.buyer.healthy = True
        self._mend()
        for _ in range(PATIENCE):
            if actions := self._strands() or self._deliveries():
                self._happen(self._one_of(actions))
            elif self._is_at_rest():
                self.invariants.at_rest()
                return
            else:
                self._pass_time()
                self._begin("first", "sweep", self._sweep)
        raise Broken("it does not come to rest")

    def _is_at_rest(self) -> bool:
        busy = any(process.strands for process in self.processes.values())
        told = all(row.told for row in self.ledger.rows.values())
        replied = all(waiting.told for replies in self.ledger.replies.values() for waiting in replies)
        return not busy and told and replied and not self.broker.leads and not self.broker.steps

    def _mend(self) -> None:
        self.ledger.come_back()
        self.broker.away = self.store.away = self.ledger.loses_answer = False

    # Producers, time, faults

    def _send(self) -> None:
        number, again = self._sent % LEADS, self._sent >= LEADS
        lead_id, address = f"lead-{number}", f"reply-{self._sent}"
        self._sent += 1
        flow, call = _FLOWS[number % len(_FLOWS)]
        fields = {"numcategory": "16001" if number else "16002", "subid": "123", "zipcode": "33139"}
        lead = Lead(lead_id, flow, fields, 30.0)
        self.broker.leads.append(Posted(Arrival(lead, call, test=False, reply=Reply("queue", address))))
        self.accepted.append((lead_id, address))
        self.trace.append(f"{lead_id} is sent{' again' if again else ''}")

    def _pass_time(self) -> None:
        now = self.clock.ms
        times = [message.due for message in self.broker.steps if message.due > now]
        times += [
            strand.wakes_at
            for process in self.processes.values()
            for strand, _ in process.strands
            if strand.wakes_at > now
        ]
        # To what is next, mostly. A thread may also sleep through many seconds; and absences end.
        leap = LEAPS_MS[self._choose(len(LEAPS_MS))]
        self.clock.ms = now + leap if leap else min([*times, now + 1000])
        if self._choose(4) == 0:
            self._mend()

    def _kill(self, name: str) -> None:
        for strand, _ in self.processes[name].strands:
            strand.kill()
        self.processes[name] = self._process(name)
        self.broker.cut(name)

    def _cut(self, name: str) -> None:
        self.broker.cut(name)

    def _lose(self) -> None:
        self.broker.steps.pop(self._choose(len(self.broker.steps)))

    def _repeat(self) -> None:
        message = self.broker.steps[self._choose(len(self.broker.steps))]
        self.broker.steps.append(Posted(message.body, message.due, redelivered=True))

    # Processes

    def _process(self, name: str) -> Process:
        gates = SharedGates(
            self.store, Register(self.ledger, _RULES.calendar, test=False), monotonic=self.clock.monotonic
        )  # type: ignore[arg-type]  # the model stands in
        services = Services(
            ledger=self.ledger,  # type: ignore[arg-type]  # the model stands in for the class
            buyer=self.buyer,
            gates=gates,
            teller=self.broker,
            protocol=_protocol(),
            rules=_RULES,
            chance=lambda: 0.5,
            monotonic=self.clock.monotonic,
            sleep=lambda seconds: effect("sleep", wakes_at=self.clock.ms + round(seconds * 1000)),
        )
        return Process(name, services)

    def _begin(self, name: str, what: str, work: Callable[[Process], None], message: Posted | None = None) -> None:
        process = self.processes[name]
        process.strands.append((Strand(what, partial(work, process)), message))

    def _resume(self, process: Process, strand: Strand) -> None:
        try:
            strand.resume()
        finally:
            if strand.done:
                process.strands = [(other, message) for other, message in process.strands if other is not strand]

    def _deliver(self, process: Process, message: Posted) -> None:
        self.broker.take(message, process.name)
        if isinstance(message.body, Arrival):
            self._begin(process.name, f"intake of {_named(message)}", partial(self._receive, message), message)
        else:
            self._begin(process.name, _named(message), partial(self._take, message, message.body), message)

    def _take(self, message: Posted, step: Step, process: Process) -> None:
        """Do what Celery does with a task: the next link or the retry is published, then the message acknowledged."""
        following = take(process.services, step.call, step.lead_id, redelivered=message.redelivered)
        try:
            match following:
                case Later(seconds):
                    self.broker.publish(step.lead_id, step.call, seconds)
                case GoOn() if step.call is Call.PING:
                    self.broker.publish(step.lead_id, Call.POST)
        except BROKER_AWAY:
            pass  # a dead letter, or a failed task: the ledger knows where the lead stands
        self.broker.ack(message)

    def _receive(self, message: Posted, process: Process) -> None:
        """Do what the intake does with a batch of one."""
        services = process.services
        read = SimpleNamespace(test=False, read=_arrival)
        receiver = Receiver(
            read, services.ledger, services.teller, start=self.broker.publish, now=lambda: from_ms(self.clock.ms)
        )  # type: ignore[arg-type]  # no reader is needed for what is read
        again = False
        while True:
            try:
                receiver.receive([message], again=again)  # type: ignore[list-item]  # a message that is read already
            except LedgerAway:
                again = True
                services.sleep(0.2)
                continue
            except BROKER_AWAY:
                self.broker.cut(process.name)
                return
            self.broker.ack(message)
            return

    def _sweep(self, process: Process) -> None:
        # What keeps one process from sweeping twice at a time is not simulated: here each is a process of its own.
        upkeep.look_after_all(process.services, lambda: 0)
        with suppress(LedgerError):
            process.services.gates.reset()

    def resumed(self, lead_id: str, call: Call) -> Any:
        """Stand in for `tasks.sell.sale_of`, for the sweep."""
        return SimpleNamespace(apply_async=lambda: self.broker.publish(lead_id, call))


def _arrival(message: Posted) -> Arrival:
    assert isinstance(message.body, Arrival)
    return replace(message.body, redelivered=message.redelivered)


def _named(message: Posted) -> str:
    if isinstance(message.body, Step):
        return f"{message.body.call} of {message.body.lead_id}"
    return message.body.lead.lead_id


@cache
def _protocol() -> Protocol:
    return load_protocol(None)


@contextmanager
def inhabited(world: World) -> Iterator[World]:
    """Let the product's code run in this world: its log lines are kept, its sweep publishes here."""

    def keep(_logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        world.log.append(event)
        world.undeclared += undeclared_call(method, event)
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[keep], wrapper_class=structlog.BoundLogger, cache_logger_on_first_use=False)
    try:
        with patch.object(upkeep, "sale_of", world.resumed):
            yield world
    finally:
        for process in world.processes.values():
            for strand, _ in process.strands:
                strand.kill()
        structlog.configure(**before)

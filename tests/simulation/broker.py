"""A broker in memory that loses, repeats, reorders and delays what it was given, as real ones do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count
from typing import Any

from kombu.exceptions import OperationalError

from tasks.core.protocol import Call
from tasks.ledger import Arrival, Reply
from tasks.telling import aged
from tests.simulation.strands import Clock, effect


@dataclass(frozen=True)
class Step:
    """A task's message: a call of a lead, and whether a post follows it along the chain."""

    lead_id: str
    call: Call


@dataclass
class Posted:
    """A message in a queue. `due`: the end of its countdown."""

    body: Step | Arrival
    due: int = 0
    redelivered: bool = False
    tag: int = field(default_factory=count().__next__)


class ModelBroker:
    """Two kinds of queue: leads (never loses: see `workers/intake/redis.py`) and steps (may lose on Redis)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.away = False
        self.leads: list[Posted] = []
        self.steps: list[Posted] = []
        self.held: dict[int, tuple[str, Posted]] = {}  # delivered and not acknowledged: by whom
        self.told: list[tuple[str, Mapping[str, Any]]] = []  # address, message; "" is the exchange

    def _reach(self, name: str) -> None:
        effect(f"broker.{name}")
        if self.away:
            raise OperationalError

    def publish(self, lead_id: str, call: Call, countdown_s: float = 0) -> None:
        """Publish a step and wait for the confirmation."""
        self._reach(f"publish {call}")
        self.steps.append(Posted(Step(lead_id, call), self._clock.ms + round(countdown_s * 1000)))
        effect(f"broker.publish {call} done")

    def take(self, message: Posted, holder: str) -> None:
        """Hand a message to a process."""
        queue = self.leads if isinstance(message.body, Arrival) else self.steps
        queue.remove(message)
        self.held[message.tag] = (holder, message)

    def ack(self, message: Posted) -> None:
        """Acknowledge. After a cut this has no effect: the message has gone back, and comes again."""
        effect("broker.ack")
        self.held.pop(message.tag, None)

    def cut(self, holder: str) -> None:
        """Lose a process's connection: all that it holds comes again."""
        for tag, (whose, message) in list(self.held.items()):
            if whose == holder:
                del self.held[tag]
                again = replace(message, redelivered=True, tag=message.tag + 1_000_000)
                (self.leads if isinstance(message.body, Arrival) else self.steps).append(again)

    def ready(self) -> list[Posted]:
        """Give all that may be delivered now, in any order."""
        return [message for message in (*self.leads, *self.steps) if message.due <= self._clock.ms]

    def tell(
        self, outcome: Mapping[str, Any], replies: Sequence[Reply], now: datetime, *, replayed: bool = False
    ) -> None:
        """See `tasks.telling.Teller`."""
        self._reach("tell the exchange")
        self.told.append(("", aged(outcome, now, replayed=replayed)))
        for reply in replies:
            self._reach("tell a reply")
            self.told.append((reply.address, aged(outcome, now, replayed=reply.replayed or replayed)))
        effect("broker.tell done")

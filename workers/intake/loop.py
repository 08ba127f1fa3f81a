"""The loop of an inbox: batch after batch, through the absence of broker or ledger."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from tasks.absence import Absence
from tasks.away import BROKER_AWAY, why_broker_away
from workers.intake.message import Message, Unfit
from workers.intake.source import Source
from workers.intake.writing import LedgerAway

log = structlog.stdlib.get_logger()

IDLE_S: Final = 0.5
TICK_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Growing:
    """A delay that doubles from `first_s` to `most_s`, each with jitter, so that many doors do not knock at once."""

    first_s: float = 0.1
    most_s: float = 5.0

    def delay_s(self, tries: int, chance: float) -> float:
        """Give the wait after so many tries (from 1); `chance` is from 0 to 1."""
        return min(self.first_s * 2.0 ** min(tries - 1, 16), self.most_s) * (0.5 + chance / 2)


class Receives(Protocol):
    """What the loop hands each batch to. Used by one thread."""

    def receive(self, batch: Sequence[Message], *, again: bool = False) -> list[tuple[Message, Unfit]]:
        """Take a batch in; gives the messages that must be buried, and all others may be acknowledged.

        `again`: the batch was received before, and the ledger was away.

        Raises:
            LedgerAway, BROKER_AWAY: as the loop sees to both.
        """
        ...


@dataclass(frozen=True, slots=True)
class Events:
    """The names of the loop's log lines: it has begun to read, and a message was buried."""

    ready: str
    buried: str


LEADS: Final = Events("intake.ready", "lead.buried")
CALLS: Final = Events("calls.ready", "call.buried")


class Intake:
    """Takes batches from a source to the receiver until it is stopped."""

    def __init__(
        self,
        source: Source,
        receiver: Receives,
        *,
        events: Events = LEADS,
        alive: Callable[[], None] = lambda: None,
        growing: Growing = Growing(),
        broker: Absence | None = None,
    ) -> None:
        """Take what does the work; `alive` is called twice a second while the loop turns, whatever is away."""
        self._events = events
        self._source = source
        self._receiver = receiver
        self._alive = alive
        self._growing = growing
        self._broker = broker or Absence("broker")
        self._ready = False
        self._broker_tries = 0
        self._ledger_tries = 0

    def run(self, stop: threading.Event) -> None:
        """Receive until `stop` is set; the batch in hand is finished first."""
        try:
            while not stop.is_set():
                try:
                    self._source.open()
                    self._consume(stop)
                except BROKER_AWAY as away:
                    self._source.drop()
                    self._wait_for_broker(away, stop)
        finally:
            self._close()

    def _consume(self, stop: threading.Event) -> None:
        if not self._ready:
            self._ready = True
            log.info(self._events.ready)
        while not stop.is_set():
            self._alive()
            self._source.tick()
            batch = self._source.take(IDLE_S)
            if batch:
                unfit = self._receive(batch, stop)
                if unfit is None:
                    return  # stopped while the ledger was away: another intake gets the batch
                for message, why in unfit:
                    log.warning(self._events.buried, reason=why.reason)
                    self._source.bury(message, why.reason)
                self._source.ack(batch)
            self._broker_tries = 0
            self._broker.over()

    def _receive(self, batch: Sequence[Message], stop: threading.Event) -> list[tuple[Message, Unfit]] | None:
        while True:
            try:
                unfit = self._receiver.receive(batch, again=self._ledger_tries > 0)
            except LedgerAway:
                if not self._wait_for_ledger(stop):
                    return None
            else:
                self._ledger_tries = 0
                return unfit

    def _wait_for_ledger(self, stop: threading.Event) -> bool:
        # The ledger itself has said that it is away.
        self._ledger_tries += 1
        left_s = self._growing.delay_s(self._ledger_tries, random.random())  # noqa: S311 - jitter
        while left_s > 0 and not stop.wait(min(left_s, TICK_S)):
            left_s -= TICK_S
            self._alive()
            self._source.tick()
        return not stop.is_set()

    def _wait_for_broker(self, away: BaseException, stop: threading.Event) -> None:
        self._broker_tries += 1
        self._broker.begun(why_broker_away(away) or type(away).__name__)
        left_s = self._growing.delay_s(self._broker_tries, random.random())  # noqa: S311 - jitter
        while left_s > 0 and not stop.wait(min(left_s, TICK_S)):
            left_s -= TICK_S
            self._alive()

    def _close(self) -> None:
        try:
            self._source.close()
        except BROKER_AWAY:
            self._source.drop()

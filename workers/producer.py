"""A producer for Python: ``submit(lead)`` gives a future of the lead's outcome.

    with Producer("amqp://guest:guest@localhost//") as producer:
        outcome = producer.submit({"lead_id": "L-1", "numcategory": 16001, ...}).result(timeout=30)

Sending is safe to repeat, since a lead is sold once by its `lead_id`: whatever breaks is mended by sending again. One
reply queue a process serves all threads.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from types import TracebackType
from typing import Any, Final, Self

from tasks.away import BROKER_AWAY
from workers.hearing import Asked, open_ear
from workers.places import for_libraries
from workers.sending import WINDOW, Parcel, open_sender

FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 1.0
Outcome = dict[str, Any]


class ProducerError(Exception):
    """What can go wrong here.

    ProducerError
    ├── BrokerAway       may be tried again with the same lead_id; the operator looks after the broker
    └── ProducerClosed   the outcome is still told to the exchange `outcomes`, and to whoever sends the lead again
    """


class BrokerAway(ProducerError, ConnectionError):
    """The broker did not confirm in time. The lead may have been sent all the same."""


class ProducerClosed(ProducerError):
    """The producer was closed before the outcome came."""


@dataclass(slots=True)
class _Pending:
    """A lead that was sent, and whose outcome somebody waits for."""

    lead: Mapping[str, Any] = field(repr=False)
    lead_id: str
    future: Future[Outcome]


class Producer:
    """Sends leads to the queue `leads`. Safe under threads; make one a process, and close it.

    Args:
        broker_url: as in PINGPOST_BROKER_URL.
        patience_s: for how long a broker that is away is tried before a call gives up.

    """

    def __init__(self, broker_url: str, *, patience_s: float = 10.0) -> None:
        url = for_libraries(broker_url)
        self._patience_s = patience_s
        self._sender = open_sender(url)
        self._sending = threading.Lock()
        self._ear = open_ear(url)
        self._listener: threading.Thread | None = None
        self._listening = threading.Event()
        self._pending: dict[str, _Pending] = {}
        self._door = threading.Lock()
        self._closed = threading.Event()

    def submit(self, lead: Mapping[str, Any], *, lead_id: str | None = None) -> Future[Outcome]:
        """Send a lead and give the future of its outcome (contract, An outcome).

        `lead_id` wins over the lead's own; where neither is given, a new one is made. The future fails with
        `BrokerAway` or `ProducerClosed`.

        Raises:
            TypeError: the lead holds what JSON cannot.
            ProducerClosed: the producer is closed.
        """
        return self.submit_many([lead if lead_id is None else {**lead, "lead_id": lead_id}])[0]

    def submit_many(self, leads: Iterable[Mapping[str, Any]]) -> list[Future[Outcome]]:
        """Send leads faster than one by one, and give their futures in the same order; see `submit`."""
        self._refuse_when_closed()
        futures: list[Future[Outcome]] = []
        for window in _windows(leads):
            waiting = [_Pending(lead, lead["lead_id"], Future()) for lead in map(_identified, window)]
            futures += [pending.future for pending in waiting]
            asked: list[str] = []
            try:
                self._listen()
                parcels = [self._ask(pending, asked) for pending in waiting]
                self._deliver(parcels)
            except ProducerError as fault:
                self._forget(asked)
                for pending in waiting:
                    _fail(pending.future, fault)
            except BaseException:
                self._forget(asked)
                raise
        return futures

    def publish_many(self, leads: Iterable[Mapping[str, Any]]) -> int:
        """Send leads without asking for their outcomes; give how many were sent and confirmed.

        Raises:
            BrokerAway: those of the last `WINDOW` may have been sent.
            TypeError: a lead holds what JSON cannot.
            ProducerClosed: the producer is closed.
        """
        self._refuse_when_closed()
        count = 0
        for window in _windows(leads):
            given = [_identified(lead) for lead in window]
            self._deliver([Parcel(_encode(lead), lead["lead_id"]) for lead in given])
            count += len(given)
        return count

    def close(self) -> None:
        """Stop listening, and let every future that waits fail with `ProducerClosed`. Closing twice is fine."""
        self._closed.set()
        if self._listener is not None:
            self._listener.join()
        self._ear.drop()
        with self._sending:
            self._sender.drop()
        with self._door:
            waiting, self._pending = list(self._pending.values()), {}
        for pending in waiting:
            _fail(pending.future, ProducerClosed(f"closed before the outcome of {pending.lead_id} came"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _refuse_when_closed(self) -> None:
        if self._closed.is_set():
            raise ProducerClosed("the producer is closed")

    def _ask(self, pending: _Pending, asked: list[str]) -> Parcel:
        with self._door:
            how = self._ear.ask(pending.lead_id, None, self._pending.__contains__)
            self._pending[how.key] = pending
        asked.append(how.key)
        return _parcel(pending, how)

    def _forget(self, keys: Sequence[str]) -> None:
        with self._door:
            for key in keys:
                self._pending.pop(key, None)

    def _deliver(self, parcels: Sequence[Parcel]) -> None:
        deadline = time.monotonic() + self._patience_s
        pause_s = FIRST_PAUSE_S
        with self._sending:
            while True:
                self._refuse_when_closed()
                try:
                    return self._sender.send(parcels)
                except BROKER_AWAY as away:
                    self._sender.drop()
                    if time.monotonic() + pause_s > deadline:
                        raise BrokerAway(f"not confirmed within {self._patience_s:g} s") from away
                self._closed.wait(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _listen(self) -> None:
        """See to it that answers find us before anything is asked."""
        with self._door:
            if self._listener is None:
                self._listener = threading.Thread(target=self._hear, name="outcomes", daemon=True)
                self._listener.start()
        if not self._listening.wait(self._patience_s):
            raise BrokerAway(f"no reply queue within {self._patience_s:g} s")

    def _hear(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._closed.is_set():
            try:
                self._ear.open()
                self._ask_again()
                self._listening.set()
                while not self._closed.is_set():
                    self._ear.hear(self._resolve)
                    pause_s = FIRST_PAUSE_S
            except (*BROKER_AWAY, ProducerClosed):
                self._listening.clear()
                self._ear.drop()
                self._closed.wait(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _ask_again(self) -> None:
        """Send what waits once more: its outcome may have been told while nobody listened."""
        with self._door:
            waiting = [
                (self._ear.ask(p.lead_id, key, self._pending.__contains__), p) for key, p in self._pending.items()
            ]
        if waiting:
            self._deliver([_parcel(pending, how) for how, pending in waiting])

    def _resolve(self, key: str, outcome: Outcome) -> None:
        with self._door:
            pending = self._pending.pop(key, None)
        if pending is not None:  # else it was told twice, or given up
            _settle(pending.future, outcome)


def _parcel(pending: _Pending, how: Asked) -> Parcel:
    lead = pending.lead if how.field is None else {**pending.lead, "reply_to": how.field}
    return Parcel(_encode(lead), pending.lead_id, how.reply_to, how.correlation_id)


def _windows(leads: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    rest = iter(leads)
    while window := list(islice(rest, WINDOW)):
        yield window


def _identified(lead: Mapping[str, Any]) -> Mapping[str, Any]:
    return lead if "lead_id" in lead else {**lead, "lead_id": uuid.uuid4().hex}


def _encode(lead: Mapping[str, Any]) -> bytes:
    """Write a lead as JSON. Money stays exact, as a decimal string; seconds are a number, as the contract has them."""
    deadline_s = lead.get("deadline_s")
    if isinstance(deadline_s, Decimal):
        lead = {**lead, "deadline_s": float(deadline_s)}
    return json.dumps(lead, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain).encode()


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"a lead cannot hold a {type(value).__name__}")


def _settle(future: Future[Outcome], outcome: Outcome) -> None:
    try:
        future.set_result(outcome)
    except InvalidStateError:  # the caller cancelled it
        return


def _fail(future: Future[Outcome], fault: BaseException) -> None:
    try:
        future.set_exception(fault)
    except InvalidStateError:
        return

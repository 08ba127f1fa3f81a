"""What ledger, state store and broker look like when somebody asks: read anew for each answer, and never waited for.

What cannot be read, or not in time, is left out, and `pingpost_readable` says so.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooLate
from functools import partial
from typing import Any, Final

import structlog
from kombu import Connection
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tasks.away import BROKER_AWAY
from tasks.gates import SharedGates
from tasks.ledger import Ledger, LedgerError
from workers.broker import length
from workers.metrics.names import METRICS, Name
from workers.topology import CALLS, CALLS_DEAD, DEAD, LEADS, LEADS_DEAD, PING, POST, UPKEEP

log = structlog.stdlib.get_logger()

# Under Prometheus' own time for an answer (10 s), and longer than a server that is well takes.
PATIENCE_S: Final = 4.0
AWAY: Final = (*BROKER_AWAY, LedgerError)
QUEUES: Final = (LEADS, PING, POST, UPKEEP, CALLS, DEAD, LEADS_DEAD, CALLS_DEAD)

Sample = tuple[Name, tuple[str, ...], float]
"""A gauge of the table, the values of its labels in their order, and its value."""
Read = Callable[[], Iterable[Sample]]


class State(Collector):
    """Reads all sources side by side for each answer. Safe under threads."""

    def __init__(self, sources: Mapping[str, Read], *, patience_s: float = PATIENCE_S) -> None:
        """Take what reads each source, by the source's name."""
        self._readers = {name: _Reader(name, read) for name, read in sources.items()}
        self._patience_s = patience_s

    def describe(self) -> Iterable[Metric]:
        """Give nothing: registering must not read anything yet."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Read everything that can be read in time."""
        families: dict[Name, GaugeMetricFamily] = {}
        given_up = time.monotonic() + self._patience_s
        for source, reading in [(name, reader.begin()) for name, reader in self._readers.items()]:
            try:
                found = reading.result(max(0, given_up - time.monotonic()))
            except TooLate:
                found = None
            for name, labels, value in found or ():
                _family(families, name).add_metric(labels, value)
            _family(families, Name.READABLE).add_metric([source], found is not None)
        yield from families.values()


class _Reader:
    """Reads one source, in a thread of its own; one that is stuck is not joined by others."""

    def __init__(self, name: str, read: Read) -> None:
        self._name = name
        self._read = read
        self._lock = threading.Lock()
        self._reading: Future[list[Sample] | None] | None = None

    def begin(self) -> Future[list[Sample] | None]:
        """Give the reading that is under way, or begin one. Its result is None where the source is away."""
        with self._lock:
            if self._reading is None or self._reading.done():
                self._reading = Future()
                work = partial(self._into, self._reading)
                threading.Thread(target=work, name=f"metrics-{self._name}", daemon=True).start()
            return self._reading

    def _into(self, reading: Future[list[Sample] | None]) -> None:
        found = None
        try:
            found = list(self._read())
        except AWAY:
            pass  # whoever needs it has said so
        except Exception as fault:  # noqa: BLE001 - a fault of ours here must not take the other values with it
            log.warning("metrics.fault", what=self._name, cause=type(fault).__name__)
        reading.set_result(found)


def ledger_of(ledger: Ledger, gates: SharedGates) -> Read:
    """Give what reads the ledger: what waits in it, and the gates that it knows as closed."""

    def read() -> Iterator[Sample]:
        backlog = ledger.backlog()
        for state, waiting in backlog.open.items():
            yield Name.OPEN, (state.value,), waiting.number
            yield Name.OLDEST, (state.value,), waiting.oldest_s
        yield Name.UNTOLD, (), backlog.untold.number
        yield Name.OLDEST_UNTOLD, (), backlog.untold.oldest_s
        for gate in gates.shut():
            yield Name.GATE_CLOSED, (gate.scope, str(gate.code or "")), 1
            yield Name.GATE_TURNED_AWAY, (gate.scope,), gate.turned_away
            if gate.until is not None:
                yield Name.GATE_OPENS, (gate.scope,), gate.until.timestamp()
        for scope, late_s in gates.late_resets().items():
            yield Name.RESET_LATE, (scope,), late_s

    return read


def store_of(gates: SharedGates) -> Read:
    """Give what reads the state store: the buyer's gate, and the pace."""

    def read() -> Iterator[Sample]:
        gate = gates.pace()
        yield Name.GATE_CLOSED, (gate.scope, str(gate.code or "")), gate.closed
        if gate.calls_per_s is not None:
            yield Name.PACE, (), gate.calls_per_s

    return read


def broker_of(connect: Callable[[], Connection]) -> Read:
    """Give what reads the broker: how much lies in each queue."""

    def read() -> Iterator[Sample]:
        connection: Any
        with connect() as connection:
            for queue in QUEUES:
                yield Name.QUEUE, (queue,), length(connection, queue)

    return read


def _family(families: dict[Name, GaugeMetricFamily], name: Name) -> GaugeMetricFamily:
    declared = METRICS[name]
    return families.setdefault(name, GaugeMetricFamily(name.value, declared.help, labels=declared.labels))

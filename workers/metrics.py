"""Metrics for Prometheus: what the ledger, the gates and the broker look like when somebody asks. Every name is here.

The intake serves them, since it knows all three anyway. Nothing is counted twice for it: each value is read when it is
asked for. What cannot be read is left out, and `pingpost_readable` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Final

from kombu.exceptions import OperationalError
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from tasks.gates import SharedGates
from tasks.ledger import LedgerError
from workers.settings import Settings, SettingsError


class Name(StrEnum):
    """Every metric's name."""

    READABLE = "pingpost_readable"
    GATE_CLOSED = "pingpost_gate_closed"
    GATE_TURNED_AWAY = "pingpost_gate_turned_away"
    GATE_SOLD = "pingpost_gate_sold_today"
    PACE = "pingpost_pace_calls_per_second"


HELP: Final[Mapping[Name, str]] = {
    Name.READABLE: "1 where this source could be read for this answer, else 0.",
    Name.GATE_CLOSED: "1 for a gate that is closed, 0 for the buyer's gate while it is open.",
    Name.GATE_TURNED_AWAY: "Leads that a closed gate has turned away since it was closed.",
    Name.GATE_SOLD: "Leads sold on the buyer's day in the scope of a closed gate.",
    Name.PACE: "The calls a second that are kept to; absent where no limit is known.",
}
AWAY: Final = (RedisError, LedgerError, OperationalError, OSError)

Read = Callable[[], Iterable[Metric]]


class State(Collector):
    """Reads each source anew for each answer."""

    def __init__(self, sources: Mapping[str, Read]) -> None:
        """Take what reads each source, by the source's name."""
        self._sources = sources

    def describe(self) -> Iterable[Metric]:
        """Give nothing: registering must not read anything yet."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Read everything that can be read."""
        readable = gauge(Name.READABLE, "source")
        for name, read in self._sources.items():
            try:
                found = list(read())
            except AWAY:
                found = []
                readable.add_metric([name], 0)
            else:
                readable.add_metric([name], 1)
            yield from found
        yield readable


def gates_of(gates: SharedGates) -> Read:
    """Give what reads the gates: those that are closed, and the buyer's."""

    def read() -> Iterator[Metric]:
        closed, turned_away = gauge(Name.GATE_CLOSED, "scope", "code"), gauge(Name.GATE_TURNED_AWAY, "scope")
        sold, pace = gauge(Name.GATE_SOLD, "scope"), gauge(Name.PACE)
        for gate in gates.all():
            closed.add_metric([gate.scope, str(gate.code or "")], gate.closed)
            if gate.closed:
                turned_away.add_metric([gate.scope], gate.turned_away)
            if gate.takings is not None:
                sold.add_metric([gate.scope], gate.takings.sold)
            if gate.calls_per_s is not None:
                pace.add_metric([], gate.calls_per_s)
        yield from (closed, turned_away, sold, pace)

    return read


def gauge(name: Name, *labels: str) -> GaugeMetricFamily:
    """Begin a gauge of the table above."""
    return GaugeMetricFamily(name.value, HELP[name], labels=labels)


def serve(settings: Settings, sources: Mapping[str, Read]) -> Callable[[], None]:
    """Serve metrics where the settings say, in a thread. Gives what ends that; it does nothing where no port is set.

    Raises:
        SettingsError: the port is taken.
    """
    if not settings.metrics_port:
        return lambda: None
    registry = CollectorRegistry()
    registry.register(State(sources))
    try:
        server, thread = start_http_server(settings.metrics_port, settings.metrics_address, registry)
    except OSError as fault:
        place = f"{settings.metrics_address}:{settings.metrics_port}"
        raise SettingsError(f"PINGPOST_METRICS_PORT: cannot listen on {place}: {type(fault).__name__}") from None

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return end

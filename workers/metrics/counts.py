"""What this process has counted and timed since it began. The ledger is the truth; these are quick, and begin at 0.

Every series is there from the beginning: Prometheus sees no rise from nothing to one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from itertools import product
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

from tasks.buyers.port import Exchange
from tasks.core.money import MICROS, Money
from tasks.core.outcome import Outcome, Status
from tasks.core.protocol import Call
from tasks.core.reasons import Refusal
from tasks.measuring import Measures
from workers.metrics.names import BUCKETS, METRICS, Name, Part

log = structlog.stdlib.get_logger()

RESULTS: Final = ("bid", "sale", "refusal", "unreadable", "unanswered")
NO_CODE: Final = "none"
UNLISTED: Final = "unlisted"  # whatever number a buyer makes up is no series of its own
TURNS: Final = {"gate.closed": "closed", "gate.opened": "opened", "cap.reset": "reset"}
# Of a gate: its whole scope would be a series for each sub source.
KINDS: Final = ("buyer", "partner", "category", "subid")
QUOTED, CONFIRMED = "quoted", "confirmed"

L = TypeVar("L")
M = TypeVar("M", bound=MetricWrapperBase)
P = ParamSpec("P")
S = TypeVar("S", bound=Any)
_faults: set[str] = set()


def harmless(count: Callable[Concatenate[S, P], None]) -> Callable[Concatenate[S, P], None]:
    """Let nothing out of what counts: a fault of it is said once, and costs a number."""

    @wraps(count)
    def counted(self: S, /, *arguments: P.args, **named: P.kwargs) -> None:
        try:
            count(self, *arguments, **named)
        except Exception as fault:  # noqa: BLE001 - see above
            if count.__name__ not in _faults:
                _faults.add(count.__name__)
                log.warning("metrics.fault", what=count.__name__, cause=type(fault).__name__)

    return counted


class Counts(Measures):
    """See `Measures`. Safe under threads."""

    def __init__(self, *, codes: Iterable[int], categories: Iterable[int], tasks: Iterable[str], version: str) -> None:
        """Take what labels may say: the buyer's codes and categories, the tasks of beat's; and what runs."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which nobody reads
        self._collectors: dict[Name, Collector] = {}
        self._codes = {code: str(code) for code in codes}
        tasks, statuses = tuple(tasks), tuple(Status)
        told: list[Status] = [status for status in statuses if status is not Status.INVALID]
        refusals = (*self._codes.values(), NO_CODE, UNLISTED)
        self._make(Gauge, Name.BUILD).labels(version).set(1)
        self._received, self._late = self._make(Counter, Name.RECEIVED), self._make(Counter, Name.LATE)
        self._resumed, self._alarms = self._make(Counter, Name.RESUMED), self._make(Counter, Name.ALARMS)
        self._outcomes = self._each(Counter, Name.OUTCOMES, statuses)
        self._steps = self._each(Counter, Name.STEPS, Call)
        self._upkeep, self._sent = self._each(Counter, Name.UPKEEP, tasks), self._each(Counter, Name.SENT, tasks)
        self._calls = self._each(Counter, Name.CALLS, product(Call, RESULTS))
        self._refusals = self._each(Counter, Name.REFUSALS, product(Call, refusals))
        self._start, self._buyer = self._each(_Seconds, Name.START, Call), self._each(_Seconds, Name.BUYER, Call)
        self._lead, self._own = self._each(_Seconds, Name.LEAD, told), self._each(_Seconds, Name.OWN, told)
        self._turns = self._each(Counter, Name.TURNS, product(TURNS.values(), KINDS))
        self._turned = self._make(Gauge, Name.TURNED)
        self._payouts = _Payouts(categories)
        self._collectors[Name.PAYOUT] = self._payouts

    def registry(self, part: Part) -> CollectorRegistry:
        """Give what a part serves of this process."""
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        for name, collector in self._collectors.items():
            if part in METRICS[name].served_by:
                registry.register(collector)
        return registry

    def _make(self, kind: type[M], name: Name) -> M:
        declared = METRICS[name]
        made = kind(name.value, declared.help, declared.labels, registry=None)
        self._collectors[name] = made
        return made

    def _each(self, kind: type[M], name: Name, labels: Iterable[L]) -> dict[L, M]:
        """Make a series for each of these, a label or several."""
        made = self._make(kind, name)
        return {label: made.labels(*(label if isinstance(label, tuple) else (label,))) for label in labels}

    @harmless
    def received(self) -> None:
        """See `Measures.received`."""
        self._received.inc()

    @harmless
    def stepped(self, call: Call) -> None:
        """See `Measures.stepped`."""
        self._steps[call].inc()

    @harmless
    def began(self, call: Call, waited_s: float) -> None:
        """See `Measures.began`."""
        self._start[call].observe(max(waited_s, 0))

    @harmless
    def heard(self, exchange: Exchange) -> None:
        """See `Measures.heard`."""
        call, answer = exchange.call, exchange.answer
        self._calls[call, type(answer).__name__.lower()].inc()
        self._buyer[call].observe(exchange.duration_ms / 1000)
        if isinstance(answer, Refusal):
            code = NO_CODE if answer.code is None else self._codes.get(answer.code, UNLISTED)
            self._refusals[call, code].inc()

    @harmless
    def ended(self, outcome: Outcome) -> None:
        """See `Measures.ended`."""
        self._outcomes[outcome.status].inc()
        if outcome.status is Status.SOLD and not outcome.test:
            self._payouts.add(QUOTED, outcome.numcategory, outcome.price_quoted)
            self._payouts.add(CONFIRMED, outcome.numcategory, outcome.price_confirmed)

    @harmless
    def told(self, status: Status, whole_s: float, buyer_s: float) -> None:
        """See `Measures.told`."""
        self._lead[status].observe(max(whole_s, 0))
        self._own[status].observe(max(whole_s - buyer_s, 0))

    @harmless
    def late(self) -> None:
        """See `Measures.late`."""
        self._late.inc()

    @harmless
    def kept_up(self, task: str) -> None:
        """See `Measures.kept_up`."""
        self._upkeep[task].inc()

    @harmless
    def resumed(self) -> None:
        """See `Measures.resumed`."""
        self._resumed.inc()

    @harmless
    def sent(self, task: str) -> None:
        """Count a task that beat has sent."""
        self._sent[task].inc()

    @harmless
    def line(self, event: Mapping[str, Any]) -> None:
        """Count what a line of the log tells: an alarm, or a gate that turned."""
        name = event["event"]
        if name == "alarm":
            self._alarms.inc()
        elif turn := TURNS.get(name):
            kind = event["scope"].partition(":")[0]
            self._turns[turn, kind].inc()
            self._turned.labels(turn, kind).set_to_current_time()


class _Seconds(Histogram):
    def __init__(self, name: str, documentation: str, labelnames: Iterable[str] = (), **more: Any) -> None:
        super().__init__(name, documentation, labelnames, **{"buckets": BUCKETS, **more})


class _Payouts(Collector):
    """Sums of money, whole micro-dollars until they are shown."""

    def __init__(self, categories: Iterable[int]) -> None:
        self._lock = threading.Lock()
        self._micros = {(price, category): 0 for category in categories for price in (QUOTED, CONFIRMED)}

    def add(self, price: str, numcategory: int | None, amount: Money | None) -> None:
        if amount is not None and numcategory is not None:
            with self._lock:
                self._micros[price, numcategory] += amount.micros

    def collect(self) -> Iterator[Metric]:
        declared = METRICS[Name.PAYOUT]
        family = CounterMetricFamily(Name.PAYOUT.value, declared.help, labels=declared.labels)
        with self._lock:
            sums = dict(self._micros)
        for (price, category), micros in sums.items():
            family.add_metric([price, str(category)], micros / MICROS)
        yield family

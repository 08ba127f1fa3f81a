"""The trials: each runs one contender once, for some seconds, and gives its figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from ops.bench.buyer import Buyer, Stalled, buyer
from ops.bench.contenders import Contender, cpu_s, running_peer
from ops.bench.figures import percentile
from ops.bench.frontdoor import front_door
from ops.bench.installation import Form, installation, lead
from ops.bench.ledgers import compare, ledger_in
from ops.bench.pacing import OpenLoop
from ops.bench.servers import Missing, Place, Servers
from workers.producer import Producer

Figures = Mapping[str, float]
RUN_S: Final = 120
RATE: Final = 50.0
PACED_S: Final = 8
FAR_MS: Final = 50
# So few that the buyer keeps them waiting, and not the two cores, which the second worker would find taken.
FAR_THREADS: Final = 16
SLOW_MS: Final = 2000
SLOW_EVERY: Final = 5
# Two slow answers hold a thread for four seconds, ten times a second: forty of them are busy with nothing else.
SLOW_THREADS: Final = 48
DOOR_SHARE: Final = 4
SOAK_STEP: Final = 1000


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for.

    Leads of a run, of its warming up, in the full ledger and of the long run; and the place that ours runs on.
    """

    servers: Servers
    leads: int = 2000
    warm_up: int = 200
    ledger: int = 1_000_000
    soak: int = 100_000
    place: Place = "rabbitmq"


Trial = Callable[[Order], Figures]


def throughput(contender: Contender, stub: Buyer, order: Order, leads: int) -> Figures:
    """Warm up, then enqueue as fast as the producer can, and wait for the last lead's outcome.

    The producer shares the machine and its CPU time is nobody's: at a peer it does what is our intake's to do.
    """
    contender.feed(order.warm_up)
    contender.done_at(order.warm_up, stub.wait_for(order.warm_up, within_s=RUN_S))
    workers = contender.workers()
    before_s, began = cpu_s(workers), time.monotonic()
    contender.feed(leads)
    whole = order.warm_up + leads
    ended = contender.done_at(whole, stub.wait_for(whole, within_s=RUN_S))
    return {
        "leads_s": leads / (ended - began),
        "cpu_ms": 1000 * (cpu_s(workers) - before_s) / leads,
    }


def peer(name: str, order: Order) -> Figures:
    """Measure a peer."""
    if name != "bare" and find_spec(name) is None:
        raise Missing(f"{name} is not installed: `make bench` installs it")
    with buyer() as stub, running_peer(name, order.servers.broker_of(name), stub) as running:
        return throughput(running, stub, order, order.leads)


def ours(form: Form, order: Order, *, latency_ms: float = 0, share: float = 1.0) -> Figures:
    """Measure pingpost with a share of the leads, in one of its forms."""
    with ExitStack() as stack:
        stub = stack.enter_context(buyer(latency_ms=latency_ms))
        places = order.servers.places(order.place, stack)
        running = stack.enter_context(installation(form, stub, places))
        return throughput(running, stub, order, int(order.leads * share))


def link(order: Order) -> Figures:
    """Measure the chain whose link travels through the broker."""
    return ours(Form(post_by="broker"), order)


def run_on(order: Order) -> Figures:
    """Measure the post run on by the worker that pinged."""
    return ours(Form(post_by="ping"), order)


def far(workers: int, order: Order) -> Figures:
    """Measure so many workers, of pings and posts alike, with a buyer whose answers take `FAR_MS`."""
    return ours(Form(workers, threads=FAR_THREADS), order, latency_ms=FAR_MS, share=0.3 * workers)


def paced(order: Order) -> Figures:
    """Send 50 leads a second, and tell how long each took from the moment for which it was scheduled."""
    return _paced(order, Form(), lambda _: "123", 0)


def paced_slow(order: Order) -> Figures:
    """Tell the same of four leads in five, while the buyer takes 2 s for each answer to the fifth one."""
    settings = {"PINGPOST_PING_TIMEOUT_S": "8", "PINGPOST_POST_TIMEOUT_S": "8"}
    return _paced(
        order,
        Form(threads=SLOW_THREADS, settings=settings),
        lambda turn: "slow" if turn % SLOW_EVERY == 0 else "123",
        SLOW_MS,
    )


def _paced(order: Order, form: Form, subid_of: Callable[[int], str], slow_ms: float) -> Figures:
    with ExitStack() as stack:
        stub = stack.enter_context(buyer(slow_ms=slow_ms))
        running = stack.enter_context(installation(form, stub, order.servers.places(order.place, stack)))
        producer = stack.enter_context(Producer(running.broker_url))
        _open_loop(producer, int(RATE), lambda _: "warm")
        took_s = _open_loop(producer, int(RATE * PACED_S), subid_of)
        counted_ms = [1000 * took_s[turn] for turn in took_s if subid_of(turn) != "slow"]
        return {"p50_ms": percentile(counted_ms, 50), "p99_ms": percentile(counted_ms, 99)}


def _open_loop(producer: Producer, number: int, subid_of: Callable[[int], str]) -> Mapping[int, float]:
    loop = OpenLoop(RATE)
    name = f"{time.monotonic_ns()}"
    for future in loop.run(
        number, lambda turn: producer.submit(lead(turn, lead_id=f"{name}-{turn}", subid=subid_of(turn)))
    ):
        outcome = future.result(timeout=RUN_S)
        if outcome["status"] != "sold":
            raise Stalled(f"a lead was not sold: {outcome}")
    return loop.took_s


def intake(order: Order) -> Figures:
    """Let one intake take in what lies in its queue, and publish each lead's chain; nobody works on those."""
    with ExitStack() as stack:
        stub = stack.enter_context(buyer())
        door = stack.enter_context(front_door(stub, order.servers.places(order.place, stack), order.servers.redis))
        door.feed(order.leads * DOOR_SHARE)
        return {"accepted_s": door.accepted_a_second(order.leads * DOOR_SHARE)}


def full_ledger(order: Order) -> Figures:
    """Time each step on a ledger of a million leads and on an empty one; of the ratios, the worst is the figure."""
    full = order.servers.full_ledger(order.ledger)
    with TemporaryDirectory(prefix="pingpost-bench-") as folder, ledger_in(Path(folder), "empty") as empty:
        steps = compare(empty, full)
    return {"slowest": max(steps.values()), **steps}


def soak(order: Order) -> Figures:
    """Sell many leads, and tell how much the worker grew that grew the most after its first thousand."""
    with ExitStack() as stack:
        stub = stack.enter_context(buyer())
        running = stack.enter_context(installation(Form(), stub, order.servers.places(order.place, stack)))
        before: Mapping[str, int] = {}
        for sold in range(SOAK_STEP, order.soak + 1, SOAK_STEP):
            running.feed(SOAK_STEP)
            stub.wait_for(sold, within_s=RUN_S)
            before = before or running.memory()
        after = running.memory()
        return {
            "grown": max(after[worker] / before[worker] for worker in before if worker != "intake"),
            "intake_grown": after["intake"] / before["intake"],
            "worker_mib": max(after.values()) / 2**20,
        }


TRIALS: Final[Mapping[str, Trial]] = {
    "link": link,
    "run_on": run_on,
    "celery": partial(peer, "celery"),
    "dramatiq": partial(peer, "dramatiq"),
    "taskiq": partial(peer, "taskiq"),
    "bare": partial(peer, "bare"),
    "paced": paced,
    "paced_slow": paced_slow,
    "one_worker": partial(far, 1),
    "two_workers": partial(far, 2),
    "intake": intake,
    "full_ledger": full_ledger,
    "soak": soak,
}
# Those that run on each place, and those that take too long for more than one round.
OURS: Final = frozenset({"link", "run_on", "paced"})
ONCE: Final = frozenset({"soak"})

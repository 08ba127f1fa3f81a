"""The peers as processes, and what is asked of whoever is measured: to be fed, and to tell its CPU time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

import psutil

from ops.bench.buyer import Buyer, Stalled
from ops.bench.peers import BROKER_VARIABLE, BUYER_VARIABLE, PROCESSES, THREADS
from ops.servers.own import OwnServer

PYTHON: Final = (sys.executable, "-m")


class Contender(Protocol):
    """One that runs."""

    def feed(self, leads: int) -> None:
        """Enqueue so many leads; returns when the broker has all of them."""
        ...

    def workers(self) -> Sequence[psutil.Process]:
        """Give the processes whose CPU time counts."""
        ...

    def done_at(self, leads: int, last_at: float) -> float:
        """Give when so many leads were done with, whose last post was answered at `last_at` (monotonic, seconds)."""
        ...


@dataclass(frozen=True, slots=True)
class Peer:
    """What starts a peer's workers, `times` over, and the module that enqueues for it; None: by standard input."""

    argv: tuple[str, ...]
    module: str | None
    times: int = 1


_CHAIN: Final = "ops.bench.peers."
_CELERY: Final = ("celery", "-A", f"{_CHAIN}celery_chain", "worker", "--pool", "threads", "--concurrency", str(THREADS))
_DRAMATIQ: Final = ("dramatiq", f"{_CHAIN}dramatiq_chain", "--processes", str(PROCESSES), "--threads", str(THREADS))
# At its default level taskiq writes a line of its own for each task beside the job's.
_TASKIQ: Final = ("taskiq", "worker", f"{_CHAIN}taskiq_chain:broker", "--workers", str(PROCESSES))
PEERS: Final = {
    "celery": Peer((*PYTHON, *_CELERY, "-n", "peer{}@%h"), "celery_chain", PROCESSES),
    "dramatiq": Peer((*PYTHON, *_DRAMATIQ), "dramatiq_chain"),
    "taskiq": Peer((*PYTHON, *_TASKIQ, "--log-level", "WARNING"), "taskiq_chain"),
    "bare": Peer((*PYTHON, f"{_CHAIN}bare"), None, PROCESSES),
}


@dataclass(slots=True)
class RunningPeer:
    """A peer's workers."""

    peer: Peer
    processes: list[subprocess.Popen[bytes]]
    producer: subprocess.Popen[bytes] | None

    def feed(self, leads: int) -> None:
        """See `Contender`."""
        if self.producer is None:
            for number, process in enumerate(self.processes):
                _ask(process, (leads + number) // len(self.processes))
            return
        _ask(self.producer, leads)
        if self.producer.stdout is None or not self.producer.stdout.readline():
            raise Stalled("its producer ended")

    def workers(self) -> Sequence[psutil.Process]:
        """See `Contender`."""
        heads = [psutil.Process(process.pid) for process in self.processes]
        return [*heads, *(child for head in heads for child in head.children(recursive=True))]

    def done_at(self, leads: int, last_at: float) -> float:  # noqa: ARG002 - as ours has it
        """Give `last_at`: a peer owes nothing after the post's answer."""
        return last_at


@contextmanager
def running_peer(name: str, broker_url: str, stub: Buyer) -> Iterator[RunningPeer]:
    """Run a peer's workers; they are gone afterwards, with what they wrote."""
    peer = PEERS[name]
    environment = {**os.environ, BROKER_VARIABLE: broker_url, BUYER_VARIABLE: stub.url}
    own = OwnServer(f"bench-{name}")
    try:
        stdin = subprocess.PIPE if peer.module is None else subprocess.DEVNULL
        processes = [
            own.run([part.format(number) for part in peer.argv], env=environment, stdin=stdin)
            for number in range(peer.times)
        ]
        with ExitStack() as stack:
            producer = None
            if peer.module is not None:
                argv = [*PYTHON, "ops.bench.peers", peer.module]
                producer = stack.enter_context(
                    subprocess.Popen(argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - ours
                )
                stack.callback(producer.kill)
            yield RunningPeer(peer, processes, producer)
    finally:
        own.stop()


def _ask(process: subprocess.Popen[bytes], leads: int) -> None:
    if process.stdin is None:
        raise Stalled("it has no standard input")
    process.stdin.write(b"%d\n" % leads)
    process.stdin.flush()


def cpu_s(processes: Sequence[psutil.Process]) -> float:
    """Sum the processes' CPU time so far, in seconds."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)

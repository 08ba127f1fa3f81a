"""What strikes an installation: its parts are killed, its broker restarts and crashes, its connections are cut."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, Self
from urllib.parse import urlsplit

import psutil
from redis import Redis, RedisError

from ops.servers.rabbitmq import _SCRIPTS, _answers
from ops.servers.waiting import wait_until
from tests.chaos.books import Violation
from tests.chaos.plan import RESTARTS, Blow
from tests.integration.installation import Installation

# For how long a part that has just died is waited for before its next kill counts as one that found it down.
DOWN_S = 1.5


class Broker(Protocol):
    """A broker that can be struck."""

    def restart(self) -> None:
        """Stop it in good order, and start it again."""

    def crash(self) -> None:
        """Kill it, and start it again."""

    def cut(self) -> None:
        """Close all clients' connections."""


class Node:
    """A RabbitMQ node of `tests.servers`, found by its name."""

    def __init__(self, url: str) -> None:
        self._port = urlsplit(url).port or 0
        self._name = f"pingpost-{self._port}@localhost"
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes():
            process.kill()
        for started in self._started:
            started.wait()

    def restart(self) -> None:
        """Stop the broker inside the node, and start it."""
        self._control("stop_app")
        self._control("start_app")

    def crash(self) -> None:
        """Kill the node's process, and start another on the same data."""
        node = self._process()
        environment = node.environ()
        node.kill()
        assert wait_until(lambda: not node.is_running(), within_s=10), "the node does not die"
        script = next(path for path in _SCRIPTS if Path(path).is_file())
        again = subprocess.Popen([script], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._started.append(again)
        assert wait_until(lambda: _answers(self._port), within_s=60, every_s=0.2), "the node does not come back"

    def cut(self) -> None:
        """Close all clients' connections."""
        self._control("close_all_connections", "chaos")

    def _control(self, *words: str) -> None:
        # In the environment of the node's own process, which knows its cookie and its name server.
        program = shutil.which("rabbitmqctl", path="/usr/lib/rabbitmq/bin") or "rabbitmqctl"
        subprocess.run(
            [program, "-n", self._name, *words],
            env=self._process().environ(),
            capture_output=True,
            timeout=90,
            check=True,
        )

    def _process(self) -> psutil.Process:
        return next(process for process in self._processes() if process.name() == "beam.smp")

    def _processes(self) -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            try:
                mine = process.environ().get("RABBITMQ_NODENAME") == self._name
            except psutil.Error:
                continue
            if mine:
                yield process


class EmbeddedServer:
    """The Valkey of a `pingpost up`, which starts it again."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation

    def restart(self) -> None:
        """End it in good order."""
        self._process()  # one that listens
        with (
            contextlib.suppress(RedisError),
            Redis.from_url(self._installation.broker_url, socket_timeout=10) as client,
        ):
            client.execute_command("SHUTDOWN", "NOSAVE")

    def crash(self) -> None:
        """Kill it."""
        self._process().kill()

    def cut(self) -> None:
        """Close all clients' connections."""
        with Redis.from_url(self._installation.broker_url, socket_timeout=2) as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def _process(self) -> psutil.Process:
        # It may be on its way up from the blow before: each planned blow finds a server that listens.
        found: list[psutil.Process] = []

        def look() -> bool:
            found.extend(self._listening())
            return bool(found)

        wait_until(look, within_s=30, every_s=0.1)
        return next(iter(found))

    def _listening(self) -> Iterator[psutil.Process]:
        port = urlsplit(self._installation.broker_url).port
        for pid in self._installation.pids:
            try:
                process = psutil.Process(pid)
                listening = process.net_connections(kind="inet")
            except psutil.Error:
                continue
            if any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in listening):
                yield process


class Chaos:
    """Strikes as planned: the parts from one thread, the broker from another, so that neither waits for the other."""

    def __init__(self, installation: Installation, broker: Broker, blows: Sequence[Blow]) -> None:
        self._installation = installation
        self._broker = broker
        self._blows = blows
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self.posts_killed: list[float] = []
        self.done: Counter[str] = Counter()
        self.failed: list[str] = []

    def begin(self) -> None:
        """Begin: the plan's time counts from here."""
        began = time.monotonic()
        for kills in (True, False):
            blows = [blow for blow in self._blows if (blow.what == "kill") == kills]
            self._threads.append(threading.Thread(target=self._strike, args=(began, blows), daemon=True))
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Strike no more."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def shortfalls(self) -> list[Violation]:
        """Tell what was planned and did not take place: a run without chaos proves nothing."""
        found = [f"{what} failed" for what in self.failed]
        planned = sum(blow.what == "kill" for blow in self._blows)
        kills = sum(count for what, count in self.done.items() if what.startswith("kill"))
        if kills * 2 < planned:
            found.append(f"{kills} kills of {planned}")
        if self.done["restart broker"] + self.done["crash broker"] < len(RESTARTS):
            found.append("fewer restarts of the broker than planned")
        if not self.done["cut broker"]:
            found.append("no cut")
        return [Violation(f"chaos that did not take place: {what}", "*", "the plan") for what in found]

    def _strike(self, began: float, blows: Sequence[Blow]) -> None:
        for blow in blows:
            # The broker comes back slowly where much else runs: its restarts take place all the same, while the last
            # leads are on their way.
            if self._over.wait(max(0.0, began + blow.at_s - time.monotonic())) and blow.what in ("kill", "cut"):
                continue
            what = f"{blow.what} {blow.target}"
            try:
                if blow.what == "kill":
                    what = self._kill(blow.target)
                else:
                    act: Callable[[], None] = getattr(self._broker, blow.what)
                    act()
            except (RedisError, psutil.NoSuchProcess, StopIteration):
                what = f"{what}: found down"
            except (subprocess.SubprocessError, AssertionError, psutil.Error, OSError) as fault:
                self.failed.append(f"{what}: {type(fault).__name__}")
                continue
            self.done[what] += 1

    def _kill(self, part: str) -> str:
        found: list[psutil.Process] = []

        def look() -> bool:
            try:
                found.append(self._installation.part(part))
            except (AssertionError, psutil.NoSuchProcess):
                return self._over.is_set()
            return True

        wait_until(look, within_s=DOWN_S, every_s=0.05)
        if not found:
            return f"{part}: found down"
        if part.startswith(("ping", "post")):  # whoever has a bid goes on to its post
            self.posts_killed.append(time.time())
        found[0].kill()
        return f"kill {part}"

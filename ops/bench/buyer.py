"""The stub buyer as a process of its own, and what it counted."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ops.bench.stub import COUNTS_PATH, PING_PATH, POST_PATH
from ops.servers.waiting import wait_until

LOOK_EVERY_S = 0.02


class Stalled(Exception):
    """What was to come did not come in time."""


@dataclass(frozen=True, slots=True)
class Buyer:
    """A stub that runs."""

    url: str

    def settings(self) -> dict[str, str]:
        """Give pingpost's settings of the endpoints."""
        return {"PINGPOST_PING_URL": self.url + PING_PATH, "PINGPOST_POST_URL": self.url + POST_PATH}

    def counts(self) -> tuple[int, float]:
        """Give how many posts came, and when the last one had its answer, by the monotonic clock."""
        with urllib.request.urlopen(self.url + COUNTS_PATH, timeout=10) as answer:  # noqa: S310 - our own stub
            counted = json.load(answer)
        return int(counted["posts"]), float(counted["last_at"])

    def wait_for(self, posts: int, *, within_s: float) -> float:
        """Wait until so many posts were answered, and give when the last one was.

        Raises:
            Stalled: they were not, in `within_s` seconds.
        """
        if not wait_until(lambda: self.counts()[0] >= posts, within_s=within_s, every_s=LOOK_EVERY_S):
            raise Stalled(f"{self.counts()[0]} of {posts} posts came in {within_s:g} s")
        return self.counts()[1]


@contextmanager
def buyer(*, latency_ms: float = 0, slow_ms: float = 0) -> Iterator[Buyer]:
    """Run a stub whose answers take so long; those to leads of the sub source ``slow`` take `slow_ms`."""
    argv = [sys.executable, "-m", "ops.bench.stub", "--latency-ms", str(latency_ms), "--slow-ms", str(slow_ms)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own command
        try:
            if process.stdout is None or not (port := process.stdout.readline()):
                raise Stalled("the stub did not start")
            yield Buyer(f"http://127.0.0.1:{int(port)}")
        finally:
            process.kill()

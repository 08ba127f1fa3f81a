"""A whole pingpost for a test: real processes, real broker, real HTTP, and the sandbox for a buyer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psutil

from ops.sandbox import Sandbox
from tasks.ledger import Ledger

T = TypeVar("T")
READY_S = 60
KEY = "live-key-771f5924706521c7"
UP = [sys.executable, "-m", "workers.cli", "up", "--plain", "--flower-port", "0"]


class Installation:
    """One running `pingpost up`. Its log lines, its parts, its ledger and its buyer are all at hand."""

    def __init__(self, data: Path, buyer: Sandbox, environment: Mapping[str, str], arguments: tuple[str, ...]) -> None:
        self.data = data
        self.buyer = buyer
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PINGPOST_")},
            "PINGPOST_DATA": str(data),
            "PINGPOST_PARTNER_ID": "XYZ",
            "PINGPOST_KEY": KEY,
            "PINGPOST_SUBID": "123",
            **buyer.environment(),
            **environment,
        }
        self._arguments = arguments
        self._log = data.with_suffix(".log")

    def start(self) -> None:
        """Start, and wait until everything is ready."""
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(
                [*UP, *self._arguments], env=self.environment, stdout=out, stderr=subprocess.STDOUT
            )
        self.facts = self.wait_for_line("up.ready", within_s=READY_S)

    def stop(self) -> int:
        """Stop cleanly, and give the exit code."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=60)

    @property
    def broker_url(self) -> str:
        """The URL that a producer finds."""
        return (self.data / "broker-url").read_text().strip()

    @property
    def ledger(self) -> Ledger:
        """The ledger, as another process sees it."""
        return Ledger.open(str(self.facts["ledger"]).replace("***", "")) if "***" not in str(self.facts["ledger"]) else (
            Ledger.open(self.environment["PINGPOST_LEDGER_URL"])
        )

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """All log lines so far, or those of one event. A line that is not JSON fails the test."""
        whole = self._log.read_text().rpartition("\n")[0]
        found = [json.loads(line) for line in whole.splitlines()]
        return [line for line in found if event in (None, line["event"])]

    def log_text(self) -> str:
        """The whole log."""
        return self._log.read_text()

    def wait_for_line(self, event: str, *, within_s: float = 20, **facts: Any) -> dict[str, Any]:
        """Wait for a log line with these facts."""

        def found() -> dict[str, Any] | None:
            if self._process.poll() is not None:
                raise AssertionError(f"pingpost ended with {self._process.returncode}:\n{self.log_text()[-3000:]}")
            matching = (line for line in self.lines(event) if facts.items() <= line.items())
            return next(matching, None)

        return wait_for(found, within_s, lambda: f"no line {event} {facts} in\n{self.log_text()[-3000:]}")

    def command(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command of pingpost's beside it."""
        whole = [sys.executable, "-m", "workers.cli", *arguments]
        return subprocess.run(
            whole, env=self.environment, capture_output=True, text=True, timeout=60, check=False, **options
        )

    def part(self, name: str) -> psutil.Process:
        """A running part: `intake`, `beat`, or a worker by the beginning of its node's name."""
        for process in psutil.Process(self._process.pid).children(recursive=True):
            line = " ".join(process.cmdline())
            if f" -n {name}" in line or line.endswith((f"workers {name}", f"workers.cli {name}")):
                return process
        raise AssertionError(f"no part {name}")


@contextmanager
def installed(
    folder: Path, buyer: Sandbox, environment: Mapping[str, str], *arguments: str
) -> Iterator[Installation]:
    """Run a whole pingpost in a folder."""
    running = Installation(folder / "data", buyer, environment, arguments)
    try:
        running.start()
        yield running
    finally:
        running.stop()


def wait_for(look: Callable[[], T | None], within_s: float, why: Callable[[], str] = lambda: "it never came") -> T:
    """Look until something is there."""
    deadline = time.monotonic() + within_s
    while True:
        if found := look():
            return found
        if time.monotonic() > deadline:
            raise AssertionError(why())
        time.sleep(0.02)


def lead(lead_id: str, **fields: Any) -> dict[str, Any]:
    """A valid lead, with a caller's identity in it."""
    return {
        "lead_id": lead_id,
        "numcategory": 16001,
        "transfer_type": 1,
        "zipcode": "33139",
        "state": "FL",
        "firstname": "Hildegard",
        "lastname": "Quaxelbrunn",
        "address": "1210 Zymurgy Drive",
        "city": "Vexville",
        "telephone": "8772681223",
        "email": "hildegard.q@zymurgy.example",
        "comments": "slipped on a xylophone",
        **fields,
    }


IDENTITY = ("Hildegard", "Quaxelbrunn", "Zymurgy", "Vexville", "8772681223", "hildegard", "xylophone")

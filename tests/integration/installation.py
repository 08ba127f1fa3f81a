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
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import psutil

from ops.sandbox import Sandbox
from tasks.ledger import Ledger
from tests.declared import undeclared
from workers.places import ledger_default

T = TypeVar("T")
READY_S = 60
KEY = "live-key-771f5924706521c7"
UP = [sys.executable, "-m", "workers.cli", "up", "--plain", "--flower-port", "0"]
IDENTITY = ("Hildegard", "Quaxelbrunn", "Zymurgy", "Vexville", "8772681223", "hildegard", "xylophone")


class Log:
    """A file of JSON lines that grows. One that is no JSON object, or not as it is declared, fails whoever reads it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0
        self._lines: list[dict[str, Any]] = []

    def lines(self) -> list[dict[str, Any]]:
        """All whole lines so far."""
        with self.path.open("rb") as log:
            log.seek(self._read)
            whole, newline, _ = log.read().rpartition(b"\n")
        self._read += len(whole) + len(newline)
        for text in whole.splitlines():
            line = json.loads(text)
            assert isinstance(line, dict), text
            assert isinstance(line.get("event"), str), text
            assert undeclared(line) == [], text
            self._lines.append(line)
        return self._lines

    def text(self) -> str:
        """The whole log."""
        return self.path.read_text()


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
            # Flower's API is off for those who do not ask for it; the tests do.
            "FLOWER_UNAUTHENTICATED_API": "true",
            **buyer.environment(),
            **environment,
        }
        self._arguments = arguments
        self._log = Log(data.with_suffix(".log"))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until everything is ready."""
        with self._log.path.open("ab") as out:
            self._process = subprocess.Popen(
                [*UP, *self._arguments],
                env=self.environment,
                cwd=self.data.parent,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        self.facts = self.wait_for_line("up.ready", within_s=READY_S)

    def stop(self) -> int:
        """Stop cleanly, and give the exit code."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self) -> int:
        """Wait until it has ended, and give the exit code."""
        assert self._process is not None
        code = self._process.wait(timeout=60)
        if "ledger" in self.__dict__:
            self.ledger.close()
            del self.__dict__["ledger"]
        return code

    @property
    def broker_url(self) -> str:
        """The URL that a producer finds."""
        return (self.data / "broker-url").read_text().strip()

    @property
    def flower(self) -> str:
        """Flower's URL."""
        return str(self.facts["flower"])

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger, as another process sees it."""
        return Ledger.open(self.environment.get("PINGPOST_LEDGER_URL") or ledger_default(self.data))

    @property
    def pids(self) -> set[int]:
        """Its processes."""
        assert self._process is not None
        up = psutil.Process(self._process.pid)
        return {up.pid, *(child.pid for child in up.children(recursive=True))}

    def lines(self, event: str | None = None, **facts: Any) -> list[dict[str, Any]]:
        """All log lines so far, or those of one event and with these facts."""
        return [line for line in self._log.lines() if event in (None, line["event"]) and facts.items() <= _items(line)]

    def log_text(self) -> str:
        """The whole log."""
        return self._log.text()

    def wait_for_line(self, event: str, *, within_s: float = 20, **facts: Any) -> dict[str, Any]:
        """Wait for a log line with these facts."""

        def found() -> dict[str, Any] | None:
            if self._process is not None and self._process.poll() is not None:
                raise AssertionError(f"pingpost ended with {self._process.returncode}:\n{self.log_text()[-3000:]}")
            return next(iter(self.lines(event, **facts)), None)

        return wait_for(found, within_s, lambda: f"no line {event} {facts} in\n{self.log_text()[-3000:]}")

    def command(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command of pingpost's beside it, with more environment where it is given."""
        return subprocess.run(
            [sys.executable, "-m", "workers.cli", *arguments],
            env={**self.environment, **environment},
            cwd=self.data.parent,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def answer(self, *arguments: str, **environment: str) -> Any:
        """Run a command that must succeed, and read the JSON that it prints."""
        done = self.command(*arguments, **environment)
        assert done.returncode == 0, done
        return json.loads(done.stdout)

    def part(self, name: str) -> psutil.Process:
        """A running part: `intake`, `beat`, or a worker by the beginning of its node's name."""
        assert self._process is not None
        for process in psutil.Process(self._process.pid).children(recursive=True):
            try:
                line = " ".join(process.cmdline())
            except psutil.NoSuchProcess:  # another part, which has just ended
                continue
            if f" -n {name}" in line or line.endswith((f"workers {name}", f"workers.cli {name}")):
                return process
        raise AssertionError(f"no part {name}")


def _items(line: Mapping[str, Any]) -> Any:
    """A line's items; values that cannot be hashed are nobody's to ask for."""
    return {name: value for name, value in line.items() if not isinstance(value, list | dict)}.items()


@contextmanager
def installed(
    folder: Path, buyer: Sandbox, environment: Mapping[str, str] | None = None, *arguments: str
) -> Iterator[Installation]:
    """Run a whole pingpost in a folder."""
    running = Installation(folder / "data", buyer, environment or {}, arguments)
    try:
        running.start()
        yield running
    finally:
        running.stop()


def wait_for(
    look: Callable[[], T | None],
    within_s: float,
    why: Callable[[], str] = lambda: "it never came",
    *,
    every_s: float = 0.02,
) -> T:
    """Look until something is there."""
    deadline = time.monotonic() + within_s
    while True:
        if found := look():
            return found
        if time.monotonic() > deadline:
            raise AssertionError(why())
        time.sleep(every_s)


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

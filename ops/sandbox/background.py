"""The sandbox for tests: a real HTTP server on a free port, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from ops.sandbox.book import Book
from ops.sandbox.buyer import Buyer
from ops.sandbox.entries import Report
from ops.sandbox.rulebook import Call
from ops.sandbox.scenario import Scenario, load_scenario, scenario_from
from ops.sandbox.server import Endpoints, Server

T = TypeVar("T")
_START_S = 10.0
_POLL_S = 0.01


class Sandbox:
    """A running stand-in buyer.

        with Sandbox({"rules": [{"zipcode": "05000", "code": 5000}]}) as buyer:
            requests.post(buyer.ping_url, data=...)
            assert buyer.book()["violations"] == []

    Args:
        scenario: a `Scenario`, the same as a dict, a file's path, or the name of one that is shipped (`demo`).
        book: a file of JSON Lines that the book is also written to.
        port: 0 takes a free one; `stop` and `start` keep it.

    Raises:
        ScenarioError: the scenario cannot be played.
        OSError: the port or the book's file cannot be had.
    """

    def __init__(
        self,
        scenario: Scenario | Mapping[str, Any] | Path | str | None = None,
        *,
        book: Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._buyer = Buyer(_scenario(scenario), Book(book))
        self._host = host
        self._port = port
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self._buyer.book.close()

    def start(self) -> None:
        """Listen. After a `stop`, on the same port and with the same book."""
        ready: Future[Endpoints] = Future()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="sandbox", daemon=True)
        self._thread.start()
        self._endpoints = ready.result(_START_S)
        self._port = int(self._endpoints.base.rpartition(":")[2])

    def stop(self) -> None:
        """Stop listening: connections are refused from now on. The book stays readable."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(_START_S)
            self._thread = None

    @property
    def url(self) -> str:
        """Where the sandbox listens, without a path."""
        return self._endpoints.base

    @property
    def ping_url(self) -> str:
        """The ping's endpoint."""
        return self._endpoints.of(Call.PING)

    @property
    def post_url(self) -> str:
        """The post's endpoint."""
        return self._endpoints.of(Call.POST)

    @property
    def one_step_url(self) -> str:
        """The one-step call's endpoint."""
        return self._endpoints.of(Call.ONE_STEP)

    @property
    def direct_post_url(self) -> str:
        """The direct post's endpoint."""
        return self._endpoints.of(Call.DIRECT_POST)

    def environment(self) -> dict[str, str]:
        """Return the settings that point pingpost at this sandbox."""
        return self._endpoints.environment()

    def book(self, *, calls: bool = False, tokens: bool = False) -> Report:
        """Return the book, with every call and every token where asked for."""
        return self._there(lambda: self._buyer.book.report(calls=calls, tokens=tokens))

    def play(self, scenario: Scenario | Mapping[str, Any] | Path | str) -> None:
        """Begin another scenario; the book goes on."""
        checked = _scenario(scenario)
        self._there(lambda: self._buyer.play(checked))

    def reset(self) -> None:
        """Begin a new book, and the scenario again."""
        self._there(self._buyer.reset)

    def new_day(self) -> None:
        """Make it the buyer's midnight: caps are open again."""
        self._there(self._buyer.new_day)

    def wait_for(self, condition: Callable[[Report], bool], timeout_s: float = 10) -> Report:
        """Return the book, calls included, as soon as it meets a condition.

        Raises:
            TimeoutError: it did not within `timeout_s` seconds.
        """
        end = time.monotonic() + timeout_s
        while True:
            report = self.book(calls=True)
            if condition(report):
                return report
            if time.monotonic() > end:
                raise TimeoutError(f"the sandbox's book never met the condition; counts: {report['counts']}")
            time.sleep(_POLL_S)

    def _run(self, ready: Future[Endpoints]) -> None:
        asyncio.run(self._serve(ready))

    async def _serve(self, ready: Future[Endpoints]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        server = Server(self._buyer)
        try:
            endpoints = await server.start(self._host, self._port)
        except OSError as fault:
            ready.set_exception(fault)
            return
        ready.set_result(endpoints)
        await self._stopped.wait()
        await server.close()

    def _there(self, act: Callable[[], T]) -> T:
        """Do something in the server's thread, where the buyer lives; without one, here."""
        if self._thread is None:
            return act()

        async def there() -> T:
            return act()

        return asyncio.run_coroutine_threadsafe(there(), self._loop).result(_START_S)


def _scenario(given: Scenario | Mapping[str, Any] | Path | str | None) -> Scenario:
    if isinstance(given, Scenario):
        return given
    if isinstance(given, Path | str):
        return load_scenario(given)
    return scenario_from(given or {})

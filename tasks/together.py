"""Threads that want the same done at the same time have it done at once, by one of them.

Whoever finds nobody at work does all that has been handed in, and then calls the first of those who came meanwhile to
do the same; each of the others is woken as soon as its own is done. No delay when nobody else asks, and no thread of
its own but for what nobody waits for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from os import getpid
from typing import Any, Final, Generic, TypeVar, cast

# How long what nobody waits for waits for company, and how long the thread that sees to it outlives the last of it.
SOON_S: Final = 0.05
IDLE_S: Final = 5.0

T = TypeVar("T")
R = TypeVar("R")


class Turn(Generic[T, R]):
    """What one thread handed in, then its result or its error."""

    __slots__ = ("_lock", "asks", "called", "done", "error", "item", "result")

    def __init__(self, item: T, *, asks: bool = True) -> None:
        """Hold `item`; where it does not ask, its thread only waits for all that was handed in before."""
        self.item = item
        self.asks = asks
        self.done = False
        self.result: R | None = None
        self.error: BaseException | None = None
        self.called = False
        self._lock: threading.Lock | None = None

    def end(self, result: R | None = None, error: BaseException | None = None) -> None:
        """Keep what came of it."""
        self.result, self.error, self.done = result, error, True

    def queue(self) -> None:
        """Get ready to wait."""
        self._lock = threading.Lock()
        self._lock.acquire()

    def call(self) -> None:
        """Wake its thread, if that waits: it is done, or it is its thread's turn to do the next ones."""
        if self._lock is not None and not self.called:
            self.called = True
            self._lock.release()

    def wait(self) -> None:
        """Wait to be called."""
        if self._lock is not None:
            self._lock.acquire()


class Together(Generic[T, R]):
    """Does what threads hand in, many at once. Safe under threads.

    `do` is handed up to `largest` turns in their order, never by two threads at a time, and ends each of them. What it
    raises is the error of those that it has not ended. What nobody waits for waits `soon_s` for company.
    """

    def __init__(self, do: Callable[[Sequence[Turn[T, R]]], None], largest: int, *, soon_s: float = SOON_S) -> None:
        self._do = do
        self._largest = largest
        self._soon_s = soon_s
        self._door = threading.Lock()
        self._waiting: list[Turn[T, R]] = []
        self._later: list[Turn[T, R]] = []
        self._later_since = 0.0
        self._last: threading.Thread | None = None
        self._last_of = 0  # the process whose thread that is
        self._news = threading.Event()  # for the last thread, which waits where nothing is left
        self._busy = False  # somebody is at it, or is called to; while nobody is, nobody waits

    def run(self, item: T) -> Any:
        """Have one thing done, and give its result.

        Raises:
            BaseException: what it came to.
        """
        mine: Turn[T, R] = Turn(item)
        self._take_part(mine)
        if mine.error is not None:
            raise mine.error
        return mine.result

    def soon(self, item: T) -> None:
        """Have one thing done before the next ones, or in a moment. Nobody hears what comes of it."""
        with self._door:
            if not self._later:
                self._later_since = time.monotonic()
                if not self._news.is_set():
                    self._news.set()
            self._later.append(Turn(item))
            if self._last is None or self._last_of != getpid():  # a process that was forked has none of our threads
                last = threading.Thread(target=self._see_to_the_last, name="later", daemon=True)
                last.start()
                self._last, self._last_of = last, getpid()

    def flush(self) -> None:
        """Have all done that nobody waits for."""
        while self._later:
            self._take_part(Turn(cast("T", None), asks=False))

    def _see_to_the_last(self) -> None:
        """Have done what has waited long enough for company that did not come."""
        try:
            self._wait_for_the_last()
        finally:
            if self._last is threading.current_thread():
                self._last = None  # what comes next is seen to by another

    def _wait_for_the_last(self) -> None:
        while True:
            if not self._news.wait(IDLE_S):
                with self._door:
                    if not self._later:
                        self._last = None  # while nobody can add to them
                        return
            left_s = self._later_since + self._soon_s - time.monotonic()
            if left_s > 0:
                time.sleep(left_s)  # for company, of which no event says that it will not come
            elif self._later:
                self.flush()
            with self._door:
                if not self._later:
                    self._news.clear()

    def _take_part(self, mine: Turn[T, R]) -> None:
        with self._door:
            self._waiting.append(mine)
            first, self._busy = not self._busy, True
            if not first:
                mine.queue()
        if not first:
            self._wait(mine)
        if not mine.done:
            self._lead()

    def _wait(self, mine: Turn[T, R]) -> None:
        try:
            mine.wait()
        except BaseException:
            # Ctrl-C. Whoever leaves must not take the others' turn along.
            with self._door:
                if mine in self._waiting:
                    self._waiting.remove(mine)
                    if mine.called:
                        self._call_next()
            raise

    def _lead(self) -> None:
        with self._door:
            later, self._later = self._later[: self._largest], self._later[self._largest :]
            group, self._waiting = self._waiting[: self._largest], self._waiting[self._largest :]
        group = later + group
        asked = [turn for turn in group if turn.asks]
        try:
            if asked:
                self._do(asked)
        except BaseException as fault:
            for turn in asked:
                if not turn.done:
                    turn.end(error=fault)
            if not isinstance(fault, Exception):  # Ctrl-C in the midst of it: nobody may wait for ever
                raise
        finally:
            with self._door:
                self._call_next()
            for turn in group:
                if not turn.asks:
                    turn.end()
                turn.call()

    def _call_next(self) -> None:
        self._busy = bool(self._waiting)
        if self._busy:
            self._waiting[0].call()

"""Threads that want the same done at the same time have it done at once, by one of them.

Whoever finds nobody at work does all that has been handed in, and then calls the first of those who came meanwhile to
do the same; each of the others is woken as soon as its own is done. No thread of its own, and no delay when nobody else
asks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

# How long what nobody waits for waits for company.
SOON_S: Final = 0.05

T = TypeVar("T")
R = TypeVar("R")


class Turn(Generic[T, R]):
    """What one thread handed in, then its result or its error."""

    def __init__(self, item: T) -> None:
        self.item = item
        self.done = False
        self.result: R | None = None
        self.error: BaseException | None = None
        self._lock = threading.Lock()
        self._lock.acquire()
        self._called = False

    def end(self, result: R | None = None, error: BaseException | None = None) -> None:
        """Keep what came of it."""
        self.result, self.error, self.done = result, error, True

    def call(self) -> None:
        """Wake its thread: it is done, or it is its thread's turn to do the next ones."""
        if not self._called:
            self._called = True
            self._lock.release()

    def wait(self) -> None:
        """Wait to be called."""
        self._lock.acquire()

    @property
    def called(self) -> bool:
        """Whether its thread was woken."""
        return self._called


class Together(Generic[T, R]):
    """Does what threads hand in, many at once. Safe under threads.

    `do` is handed up to `largest` turns in their order, never by two threads at a time, and ends each of them. What it
    raises is the error of those that it has not ended. What nobody waits for waits `soon_s` for company.
    """

    def __init__(self, do: Callable[[Sequence[Turn[T, R]]], None], largest: int, *, soon_s: float = SOON_S) -> None:
        self._do = do
        self._largest = largest
        self._soon_s = soon_s
        self._door = threading.Condition()
        self._hurry = threading.Event()
        self._waiting: list[Turn[T, R]] = []
        self._later: list[Turn[T, R]] = []
        self._last: threading.Thread | None = None
        self._busy = False  # somebody is at it, or is called to; while nobody is, nobody waits

    def run(self, item: T) -> Any:
        """Have one thing done, and give its result.

        Raises:
            BaseException: what it came to.
        """
        mine: Turn[T, R] = Turn(item)
        with self._door:
            self._waiting.append(mine)
            first, self._busy = not self._busy, True
        if not first:
            self._wait(mine)
        if not mine.done:
            self._lead()
        if mine.error is not None:
            raise mine.error
        return mine.result

    def soon(self, item: T) -> None:
        """Have one thing done before the next ones, or in a moment. Nobody hears what comes of it."""
        with self._door:
            self._later.append(Turn(item))
            if self._last is None:
                self._last = threading.Thread(target=self._do_later, name="later", daemon=True)
                self._last.start()

    def flush(self) -> None:
        """Have all done that nobody waits for."""
        self._hurry.set()
        while self._later:
            with self._door:
                # Whoever is at it has the next ones, or tells when nobody has.
                self._door.wait_for(lambda: not (self._busy and self._later))
                if not self._later:
                    return
                self._busy = True
            self._lead()

    def _do_later(self) -> None:
        """End when there is nothing more to do: the next thing has a thread of its own."""
        while True:
            self._hurry.clear()
            self._hurry.wait(self._soon_s)  # for company, unless somebody asks for a flush
            self.flush()
            with self._door:
                if not self._later:
                    self._last = None
                    return

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
            self._door.notify_all()
        try:
            self._do(group)
        except BaseException as fault:
            for turn in group:
                if not turn.done:
                    turn.end(error=fault)
            if not isinstance(fault, Exception):  # Ctrl-C in the midst of it: nobody may wait for ever
                raise
        finally:
            with self._door:
                self._call_next()
            for turn in group:
                turn.call()

    def _call_next(self) -> None:
        self._busy = bool(self._waiting)
        if self._busy:
            self._waiting[0].call()
        else:
            self._door.notify_all()

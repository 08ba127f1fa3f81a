"""The threads that run tasks: Celery's pool of threads, without a future for each task, which nobody asks."""

from __future__ import annotations

import atexit
import threading
from collections import deque
from collections.abc import Callable
from threading import get_ident
from typing import Any, Final

import structlog
from celery.concurrency.base import BasePool, apply_target

from tasks.base import cause_of

log = structlog.stdlib.get_logger()

Task = tuple[Any, ...]


class _Chair:
    """Where a thread waits for a task; None: for none any more."""

    __slots__ = ("_called", "_task")

    def __init__(self) -> None:
        self._called = threading.Lock()
        self._called.acquire()
        self._task: Task | None = None

    def call(self, task: Task | None) -> None:
        self._task = task
        self._called.release()

    def wait(self) -> Task | None:
        self._called.acquire()
        task, self._task = self._task, None
        return task


class TaskPool(BasePool):
    """Runs tasks in `limit` threads, in the order in which they come. One that has begun is always ended.

    The thread that has been idle for the shortest time is called: its connection to the buyer is the freshest, and
    where there is little to do most of them sleep on. Taken in turn, each would find its own closed by the buyer.
    """

    body_can_be_buffer = True  # as Celery's pool of threads: a task's body may be read where it lies
    signal_safe = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._door: Final = threading.Lock()
        self._tasks: deque[Task] = deque()  # for which no thread is free
        self._idle: list[_Chair] = []
        self._ends = False
        self._applying: set[int] = set()  # threads that hand a task over
        self._threads: list[threading.Thread] = []

    def on_start(self) -> None:
        """Start the threads. Where Celery ends by a fault of its own, and does not stop them, the interpreter does."""
        atexit.register(self.on_stop)
        for number in range(self.limit):
            self._threads.append(threading.Thread(target=self._work, name=f"task-{number}", daemon=True))
            self._threads[-1].start()

    def on_apply(
        self,
        target: Callable[..., Any],
        args: Any = None,
        kwargs: Any = None,
        callback: Callable[..., Any] | None = None,
        accept_callback: Callable[..., Any] | None = None,
        **_: Any,
    ) -> None:
        """Have a task run by a thread that is free, or by the next one that is."""
        task = (target, args, kwargs, callback, accept_callback)
        self._applying.add(get_ident())
        with self._door:
            if self._idle and not self._ends:
                self._idle.pop().call(task)
            elif not self._ends:
                self._tasks.append(task)
        self._applying.discard(get_ident())

    def on_stop(self) -> None:
        """Wait for what has begun. What has not is never begun: its message goes back to the broker."""
        self._ends = True
        if get_ident() in self._applying:
            return  # a signal came amid a hand-over, for which its handler must not wait; Celery stops the pool again
        with self._door:
            self._tasks.clear()
            while self._idle:
                self._idle.pop().call(None)
        for thread in self._threads:
            thread.join()

    on_terminate = on_stop

    def _work(self) -> None:
        chair = _Chair()
        while (task := self._next(chair)) is not None:
            try:
                apply_target(*task)
            except BaseException as fault:  # noqa: BLE001 - nobody is above to hear of it, and the thread is needed
                _raise_alarm(fault)
            task = None  # whose message and connection a thread that waits must not keep

    def _next(self, chair: _Chair) -> Task | None:
        with self._door:
            if self._ends:
                return None
            if self._tasks:
                return self._tasks.popleft()
            self._idle.append(chair)
        return chair.wait()

    def _get_info(self) -> dict[str, Any]:
        info: dict[str, Any] = super()._get_info()
        return info | {"threads": len(self._threads)}


def _raise_alarm(fault: BaseException) -> None:
    log.error("alarm", reason="a fault of ours", cause=cause_of(fault))

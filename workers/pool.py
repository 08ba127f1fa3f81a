"""The threads that run tasks: Celery's pool of threads, without a future for each task, which nobody asks."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

import structlog
from celery.concurrency.base import BasePool, apply_target

from tasks.base import cause_of

log = structlog.stdlib.get_logger()


class TaskPool(BasePool):
    """Runs tasks in `limit` threads, in the order in which they come. One that has begun is always ended."""

    body_can_be_buffer = True  # as Celery's pool of threads: a task's body may be read where it lies
    signal_safe = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._tasks: SimpleQueue[tuple[Any, ...] | None] = SimpleQueue()
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
        """Have a task run by the next thread that is free."""
        self._tasks.put((target, args, kwargs, callback, accept_callback))

    def on_stop(self) -> None:
        """Wait for what has begun. What has not is never begun: its message goes back to the broker."""
        with suppress(Empty):
            while True:
                self._tasks.get_nowait()
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()

    on_terminate = on_stop

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                apply_target(*task)
            except BaseException as fault:  # noqa: BLE001 - nobody is above to hear of it, and the thread is needed
                _raise_alarm(fault)

    def _get_info(self) -> dict[str, Any]:
        info: dict[str, Any] = super()._get_info()
        return info | {"threads": len(self._threads)}


def _raise_alarm(fault: BaseException) -> None:
    log.error("alarm", reason="a fault of ours", cause=cause_of(fault))

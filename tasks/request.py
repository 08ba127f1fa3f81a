"""What a worker tells of a task to who watches: Flower, `celery events`, whoever else hears the broker's events."""

from __future__ import annotations

from typing import Any

from billiard.einfo import ExceptionWithTraceback
from celery.exceptions import Retry
from celery.worker.request import Request as CelerysRequest

from tasks.base import cause_of


class Request(CelerysRequest):
    """Celery's request of a task. Of a fault it tells what broke and where, as the log does.

    Celery's own would tell the error's text and a traceback that ends with it, and either may hold a caller.
    """

    _cause: str | None = None

    def on_failure(self, exc_info: Any, *arguments: Any, **options: Any) -> None:
        """Keep the cause for the event. Celery comes here with a step that is to be taken again, too: no fault."""
        thrown = exc_info.exception
        if isinstance(thrown, ExceptionWithTraceback):
            thrown = thrown.exc
        self._cause = None if isinstance(thrown, Retry) else cause_of(thrown)
        super().on_failure(exc_info, *arguments, **options)

    def send_event(self, kind: str, /, **facts: Any) -> None:
        """Send an event, without an error's own text."""
        if "traceback" in facts:
            facts |= {"exception": self._cause, "traceback": None}
        super().send_event(kind, **facts)

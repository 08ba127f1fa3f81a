"""How a worker runs a task: a short way for one that succeeds, and Celery's own for whatever else comes of it.

Celery's tracer searches each message for headers of strangers, asks for a backend that may want the result, has that
printed for deep structures, and looks out for tasks that call themselves. Of a step that went well, and whose chain is
over or in its thread's hand, none of it tells anything. A step that is to be taken again, that failed, or whose next
link is to be published is handed to Celery's tracer with what it brought, as if that had run it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from celery import signals
from celery._state import _task_stack as running
from celery.app.task import Context
from celery.app.trace import build_tracer, trace_ok_t

Trace = Callable[..., Any]
# Who listens to these is told by Celery.
_HEARD: Final = (signals.task_prerun, signals.task_postrun, signals.task_success)


class _Request(Context):
    """A running task's request, with the headers of strangers searched for when a repetition wants them."""

    def __init__(self, given: Mapping[str, Any], args: Any, kwargs: Any) -> None:
        self.update(given, args=args, kwargs=kwargs, called_directly=False)

    @property
    def headers(self) -> Any:
        """Give what of the message is neither Celery's nor ours."""
        told = vars(self)
        return told.get("headers") or self._get_custom_headers(told)


class _Brought(threading.local):
    """What a task brought that Celery's tracer is to see to."""

    result: Any = None
    fault: Exception | None = None


def tracer(task: Any, hostname: str) -> Trace:
    """Give what runs a task in a worker, as `celery.app.trace.build_tracer` does."""
    brought = _Brought()

    def bring(*_: Any, **__: Any) -> Any:
        fault, brought.fault = brought.fault, None
        if fault is not None:
            raise fault
        return brought.result

    by_celery = build_tracer(task.name, task, task.app.loader, hostname, app=task.app)
    standing_in = type(type(task).__name__, (type(task),), {"run": bring, "__module__": type(task).__module__})()
    with_what_it_brought = build_tracer(task.name, standing_in, task.app.loader, hostname, app=task.app)

    def trace(task_id: str, args: Any, kwargs: Any, request: Mapping[str, Any]) -> Any:
        if any(signal.receivers for signal in _HEARD):
            return by_celery(task_id, args, kwargs, request)
        began = time.monotonic()
        own = _Request(request, args, kwargs)
        running.push(task)
        task.request_stack.push(own)
        try:
            result = task.run(*args, **kwargs)
        except Exception as fault:  # noqa: BLE001 - kept for Celery's tracer, which tells retries, rejections and failures apart
            brought.fault = fault
        else:
            if not (own.chain or own.callbacks or own.chord):
                return trace_ok_t(result, None, time.monotonic() - began, repr(result))
            brought.result, brought.fault = result, None
        finally:
            running.pop()
            task.request_stack.pop()
        return with_what_it_brought(task_id, args, kwargs, {**request, "chain": own.chain})

    return trace

"""What Flower's pages show, in an operator's words."""

from __future__ import annotations

import re
from typing import Any, Final

from workers.topology import OURS, OUTCOMES

# Those too that no worker takes from: the front door, and the dead letters.
QUEUES: Final = sorted(OURS - {OUTCOMES})
# Celery's representation of a task's arguments: one lead's id.
_ONE_ID: Final = re.compile(r"[(\[]'([^']+)',?[)\]]")


def plain(task: Any) -> Any:
    """Say a task in plain words: the lead's id as it is, what the step brought, and nothing of what it has not.

    `task` is Flower's own copy of a `celery.events.state.Task`; what is changed here is seen on its pages alone.
    """
    if found := _ONE_ID.fullmatch(task.args or ""):
        task.args = found[1]
    task.kwargs = "" if task.kwargs == "{}" else task.kwargs
    task.result = "" if task.result in (None, "None") else task.result.strip("'")
    return task

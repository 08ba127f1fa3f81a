"""Waiting for what comes in its own time."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(ready: Callable[[], bool], *, within_s: float, every_s: float = 0.05) -> bool:
    """Ask again and again until `ready` says so. False: it did not in `within_s` seconds."""
    end = time.monotonic() + within_s
    while not ready():
        if time.monotonic() > end:
            return False
        time.sleep(every_s)  # another process has no event that we could wait for
    return True

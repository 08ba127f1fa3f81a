"""What the tests of processes share: waiting for something with a deadline, and looking at pids."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil
import pytest

DEADLINE_S = 20.0


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Wait until something is true, and fail where it is not within the deadline."""

    def wait(holds: Callable[[], object], what: str = "", within_s: float = DEADLINE_S) -> None:
        deadline = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < deadline, f"not within {within_s} s: {what or holds}"
            time.sleep(0.01)

    return wait


@pytest.fixture
def alive() -> Callable[[int], bool]:
    """Whether a process runs; one that is dead and not yet waited for does not."""

    def look(pid: int) -> bool:
        try:
            return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    return look

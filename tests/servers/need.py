"""What a test needs of the machine: without it the test is skipped at home, and is an error in CI."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import NoReturn

import pytest

CI = "CI"


def missing(what: str) -> NoReturn:
    """Skip the test that needs `what`; where the environment says CI, let it be an error."""
    if os.environ.get(CI):
        pytest.fail(f"{what}, and in CI nothing may be missing", pytrace=False)
    pytest.skip(what)


def wait_until(ready: Callable[[], bool], *, within_s: float, every_s: float = 0.05) -> bool:
    """Ask again and again until `ready` says so. False: it did not in `within_s` seconds."""
    end = time.monotonic() + within_s
    while not ready():
        if time.monotonic() > end:
            return False
        time.sleep(every_s)
    return True

"""What a test needs of the machine: without it the test is skipped at home, and is an error in CI."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

CI = "CI"
# A server under one of these is taken as it is.
RABBITMQ_VARIABLE = "PINGPOST_TEST_RABBITMQ_URL"
POSTGRESQL_VARIABLE = "PINGPOST_TEST_POSTGRES_URL"


def missing(what: str) -> NoReturn:
    """Skip the test that needs `what`; where the environment says CI, let it be an error."""
    if os.environ.get(CI):
        pytest.fail(f"{what}, and in CI nothing may be missing", pytrace=False)
    pytest.skip(what)

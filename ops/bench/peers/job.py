"""What all peers share, so that they differ in the way of a lead alone: its fields, the calls', the log's form."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any, Final

import requests
import structlog

from ops.bench.peers import BROKER_VARIABLE, BUYER_VARIABLE
from ops.bench.stub import PING_PATH, POST_PATH

TIMEOUT_S: Final = 10.0

Lead = dict[str, str]
CALLER: Final = {
    "firstname": "Hildegard",
    "lastname": "Quaxelbrunn",
    "address": "1210 Zymurgy Drive",
    "telephone": "8772681223",
    "email": "hildegard.q@zymurgy.example",
    "state": "FL",
    "subid": "123",
}
# The configuration that structlog's own page on performance gives, with the standard library's JSON.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.JSONRenderer(),
    ],
    wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    logger_factory=structlog.WriteLoggerFactory(sys.stdout),
    cache_logger_on_first_use=True,
)
log = structlog.get_logger()
_thread = threading.local()


def broker_url() -> str:
    """Give the broker's URL."""
    return os.environ[BROKER_VARIABLE]


def leads(count: int) -> Iterator[Lead]:
    """Give so many leads, each of ten fields."""
    for number in range(count):
        yield {"lead_id": f"peer-{number}", "numcategory": "16001", "zipcode": "33139", **CALLER}


def ping_url() -> str:
    """Give where pings go."""
    return os.environ[BUYER_VARIABLE] + PING_PATH


def post_url() -> str:
    """Give where posts go."""
    return os.environ[BUYER_VARIABLE] + POST_PATH


def ping_fields(lead: Lead) -> dict[str, str]:
    """Give a ping's twelve fields."""
    return {**lead, "partnerid": "BENCH", "key": "key-of-the-bench"}


def post_fields(lead: Lead, token: str) -> dict[str, str]:
    """Give a post's fourteen fields."""
    return {**ping_fields(lead), "token": token, "transfer_type": "1"}


def session() -> requests.Session:
    """Give this thread's session, whose connections stay open."""
    found: requests.Session | None = getattr(_thread, "session", None)
    if found is None:
        found = _thread.session = requests.Session()
    return found


def ping(lead: Lead) -> str:
    """Ping with requests, write the line, and give the bid's token."""
    answer: dict[str, Any] = session().post(ping_url(), data=ping_fields(lead), timeout=TIMEOUT_S).json()
    log.info("ping", lead_id=lead["lead_id"], price=answer["price"], token=answer["token"])
    return str(answer["token"])


def post(lead: Lead, token: str) -> None:
    """Post with requests, and write the line."""
    answer: dict[str, Any] = session().post(post_url(), data=post_fields(lead, token), timeout=TIMEOUT_S).json()
    log.info("post", lead_id=lead["lead_id"], price=answer["price"], phone_number=answer["PhoneNumber"])

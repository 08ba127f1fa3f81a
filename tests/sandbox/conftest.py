"""A sandbox on a free port, and a client so plain that it cannot hide anything: requests, without retries."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from ops.sandbox import Sandbox

PING = {
    "partnerid": "XYZ",
    "key": "771f5924706521c73464341fc48afb05",
    "numcategory": "16001",
    "subid": "123",
    "resptype": "JSON",
    "transfer_type": "1",
    "zipcode": "33139",
}
CALLER = {
    "state": "FL",
    "firstname": "Zoë",
    "lastname": "O'Brien & Söhne",
    "address": "1210 Ocean Drive",
    "city": "Miami",
    "telephone": "8772681223",
    "email": "john.doe@gmail.com",
    "comments": "First line\nsecond line: 100% = +",
}

Answer = dict[str, Any]


@pytest.fixture
def sandbox() -> Iterator[Callable[..., Sandbox]]:
    """Starts sandboxes; each is stopped at the end of the test."""
    with ExitStack() as stack:
        yield lambda scenario=None, **options: stack.enter_context(Sandbox(scenario, **options))


@pytest.fixture
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


class Seller:
    """Sends calls as the buyer's page says, and reads flat JSON answers."""

    def __init__(self, buyer: Sandbox, http: requests.Session) -> None:
        self.buyer = buyer
        self.http = http

    def send(self, call: str, fields: dict[str, Any], method: str = "form", timeout: float = 10) -> requests.Response:
        url = f"{self.buyer.url}/{call}"
        if method == "get":
            return self.http.get(url, params=fields, timeout=timeout, allow_redirects=False)
        body = {"json": fields} if method == "json" else {"data": fields}
        return self.http.post(url, timeout=timeout, allow_redirects=False, **body)

    def ping(self, **fields: str) -> Answer:
        return self.send("ping", {**PING, **fields}).json()

    def post(self, token: str, **fields: str) -> Answer:
        return self.send("post", {**PING, **CALLER, "token": token, "customid": "lead-1", **fields}).json()

    def sell(self, **fields: str) -> Answer:
        return self.post(self.ping(**fields)["token"], **fields)


@pytest.fixture
def seller(http: requests.Session) -> Callable[[Sandbox], Seller]:
    return lambda buyer: Seller(buyer, http)


@pytest.fixture
def connect() -> Iterator[Callable[[Sandbox], socket.socket]]:
    """Opens raw connections; each is closed at the end of the test."""
    with ExitStack() as stack:

        def opened(buyer: Sandbox) -> socket.socket:
            url = urlsplit(buyer.url)
            return stack.enter_context(socket.create_connection((url.hostname, url.port), timeout=10))

        yield opened


@pytest.fixture
def ping_fields() -> dict[str, str]:
    return dict(PING)


@pytest.fixture
def post_fields() -> dict[str, str]:
    return {**PING, **CALLER, "customid": "lead-1"}

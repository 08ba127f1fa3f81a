"""The real tables, a scripted buyer, and a client of it."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tasks.buyers.http import BuyerConfig, HttpBuyer
from tasks.buyers.mapping import AnswerMapping
from tasks.buyers.registry import load_mapping, load_protocol
from tasks.core.protocol import Call, Protocol
from tests.buyers.scripted import Play, Scripted
from tests.buyers.stories import KEY, PARTNER_ID

Serve = Callable[..., Scripted]
Client = Callable[..., HttpBuyer]


@pytest.fixture(scope="session")
def protocol() -> Protocol:
    return load_protocol()


@pytest.fixture(scope="session")
def mapping() -> AnswerMapping:
    return load_mapping()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine's environment says of proxies is no part of these stories."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts scripted buyers; each is stopped at the end of the test."""
    with ExitStack() as stack:

        def start(play: Play, tls: ssl.SSLContext | None = None) -> Scripted:
            return stack.enter_context(Scripted(play, tls))

        yield start


@pytest.fixture
def client(protocol: Protocol, mapping: AnswerMapping) -> Iterator[Client]:
    """Makes clients that make every call to one URL; each is closed at the end of the test."""
    with ExitStack() as stack:

        def make(
            url: str, mapping: AnswerMapping = mapping, clock: Callable[[], float] | None = None, **config: Any
        ) -> HttpBuyer:
            endpoints = dict.fromkeys(Call, url)
            settings = BuyerConfig(**{"partner_id": PARTNER_ID, "key": KEY, "endpoints": endpoints, **config})
            buyer = HttpBuyer(protocol, mapping, settings, **({} if clock is None else {"clock": clock}))
            stack.callback(buyer.close)
            return buyer

        yield make


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of localhost, signed by itself."""
    folder = tmp_path_factory.mktemp("tls")
    path = folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "2"]
    subprocess.run([*command, "-keyout", folder / "key.pem", "-out", path], check=True, capture_output=True)
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.parent / "key.pem")
    return context

"""Connections that hold a call's deadline and know whether anything of it was sent, for urllib3 and requests."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, cast

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import SSLError as WrappedSslError

from tasks.buyers.flight import Flight, Source, resolved
from tasks.buyers.head import Answer
from tasks.buyers.heads import Heads

BROKEN: Final = "the connection broke before anything was sent"


class _Writer(http.client.HTTPConnection):
    """Writes requests, and sends them nowhere."""

    def __init__(self, host: str, port: int | None) -> None:
        super().__init__(host, port)
        self.written: list[bytes] = []

    def send(self, data: Any) -> None:
        self.written.append(data)


class DeadlineConnection(HTTPConnection):
    """A connection that serves one flight at a time."""

    flight: Flight
    idle_since = 0.0
    _outgoing: list[bytes] | None = None

    def response_class(self, sock: socket.socket, **options: Any) -> http.client.HTTPResponse:  # type: ignore[override]  # theirs is a class
        """Read an answer under the flight's deadline."""
        return Answer(Source(sock, self.flight), **options)

    def connect(self) -> None:
        """Connect. What goes out meanwhile (TLS, a proxy's CONNECT) is not the request."""
        try:
            super().connect()
        except TimeoutError:
            raise self.flight.late() from None
        except (ssl.SSLError, ssl.CertificateError, WrappedSslError) as fault:
            untrusted = isinstance(fault, ssl.CertificateError) or "CERTIFICATE_VERIFY_FAILED" in str(fault)
            self.flight.note("the certificate is not trusted" if untrusted else "no TLS connection")
            raise
        except OSError:
            self.flight.note(BROKEN)
            raise

    def request(self, *args: Any, **options: Any) -> None:
        """Send a request, head and body in one piece; from its first byte on, the call counts as sent."""
        outgoing: list[bytes] = []
        self._outgoing = outgoing
        try:
            super().request(*args, **options)
        finally:
            self._outgoing = None
        if self.sock is None:
            self.connect()
        self._let_go(outgoing)

    def exchange(self, heads: Heads, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        """Send a request on a connection that stands, and give the answer: what urllib3 does, for requests of ours.

        Their headers say which encodings are taken, and last how long the body is.
        """
        query = self.flight.query
        head = heads.of(method, url, query, headers, body)
        if head is None:
            head = self._written(method, url, headers)
            heads.learn(head, method, url, query, headers, body)
        # Who closes may have answered before.
        with suppress(BrokenPipeError, ConnectionResetError):
            self._let_go([head] if body is None else [head, body])
        answer = Answer(Source(self.sock, self.flight), method=method)
        try:
            answer.begin()
        except BaseException:
            answer.close()
            raise
        if answer.will_close:
            self.close()
        answer.connection = self
        return answer

    def _written(self, method: str, url: str, headers: Mapping[str, str]) -> bytes:
        """Give a request's head as http.client writes it."""
        writer = _Writer(self.host, self.port)
        writer.default_port = self.default_port  # a head leaves that one out
        writer.putrequest(method, url + self.flight.query, skip_accept_encoding=True)
        for name, value in headers.items():
            writer.putheader(name, value)
        writer.endheaders()
        return b"".join(writer.written)

    def getresponse(self) -> Any:
        """Give the `Answer` as http.client reads it: what urllib3 wraps around it, nobody looks at."""
        answer = cast("Answer", http.client.HTTPConnection.getresponse(self))
        answer.connection = self
        return answer

    def _let_go(self, outgoing: list[bytes]) -> None:
        self.flight.remaining_s()  # raises: too late to begin
        self.flight.sent = True
        self.send(b"".join(outgoing))

    def putheader(self, header: str | bytes, *values: Any) -> None:
        """Take a header as it is: urllib3 looks at each for one that is to be left out, which none of ours is."""
        http.client.HTTPConnection.putheader(self, header, *values)

    def putrequest(self, method: str, url: str, *args: Any, **options: Any) -> None:
        """Begin a request with the query that the libraries were not shown."""
        super().putrequest(method, url + self.flight.query, *args, **options)

    def send(self, data: Any) -> None:
        """Hand bytes to the socket, or keep them for the request that is being made."""
        if self._outgoing is not None:
            self._outgoing.append(data)
            return
        self.flight.bound(self.sock)
        try:
            super().send(data)
        except TimeoutError:
            raise self.flight.late() from None

    def _new_conn(self) -> socket.socket:
        flight = self.flight
        addresses = resolved(self._dns_host, self.port, flight)
        for place, (family, kind, protocol, _, address) in enumerate(addresses):
            connection = socket.socket(family, kind, protocol)
            try:
                for option in self.socket_options or ():
                    connection.setsockopt(*option)
                # An address that swallows packets leaves the next ones their share.
                connection.settimeout(flight.connecting_s() / (len(addresses) - place))
                connection.connect(address)
                connection.settimeout(flight.connecting_s())
            except OSError as fault:
                connection.close()
                if place + 1 < len(addresses):
                    continue
                if isinstance(fault, TimeoutError):
                    raise flight.late() from None
                raise OSError(flight.note(_why_not(fault))) from None
            return connection
        raise OSError(flight.note("the name does not resolve"))


def _why_not(fault: OSError) -> str:
    if isinstance(fault, ConnectionRefusedError):
        return "connection refused"
    return BROKEN if isinstance(fault, ConnectionError) else "no way to the host"


class DeadlineTlsConnection(DeadlineConnection, HTTPSConnection):
    """The same over TLS."""

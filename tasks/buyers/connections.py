"""Connections that hold a call's deadline and know whether anything of it was sent, for urllib3 and requests."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from queue import Empty, Full
from typing import Any, Final, cast

from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidSchema
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import SSLError as WrappedSslError

from tasks.buyers.flight import Flight, Source, resolved
from tasks.buyers.head import Answer
from tasks.buyers.heads import Heads

BROKEN: Final = "the connection broke before anything was sent"


class DeadlineConnection(HTTPConnection):
    """A connection that serves one flight at a time."""

    flight: Flight
    idle_since = 0.0
    _outgoing: list[bytes] | None = None

    def response_class(self, sock: socket.socket, **options: Any) -> http.client.HTTPResponse:  # type: ignore[override]  # theirs is a class
        """Read an answer under the flight's deadline."""
        return Answer(Source(sock, self.flight), **options)  # type: ignore[arg-type]  # it only asks for makefile

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
        answer = Answer(Source(self.sock, self.flight), method=method)  # type: ignore[arg-type]  # it only asks for makefile
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
        writer = http.client.HTTPConnection(self.host, self.port)
        writer.default_port = self.default_port  # which no head names
        written: list[bytes] = []
        writer.send = written.append  # type: ignore[method-assign,assignment]  # it is to send nothing
        writer.putrequest(method, url + self.flight.query, skip_accept_encoding=True)
        for name, value in headers.items():
            writer.putheader(name, value)
        writer.endheaders()
        return b"".join(written)

    def getresponse(self) -> Answer:  # type: ignore[override]  # see `Answer`
        """Give the answer as http.client reads it: what urllib3 wraps around it, nobody looks at."""
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


class Left(Timeout):
    """What is left of a call, for urllib3, which would reckon it anew at each stage: the flight does."""

    def __init__(self, seconds: float) -> None:
        super().__init__(connect=seconds, read=seconds)

    def clone(self) -> Timeout:
        """Be one for all stages."""
        return self

    def start_connect(self) -> float:
        """Begin nothing: there is no total to be kept."""
        return 0.0


class _Shelf:
    """Where a thread's idle connections lie: urllib3's queue without its locks, since nobody else takes from it."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lying: list[Any] = []

    def get(self, *, block: bool = True, timeout: float | None = None) -> Any:  # noqa: ARG002 - urllib3's form of it
        """Take what was put last.

        Raises:
            Empty: nothing is there, nor will be.
        """
        try:
            return self._lying.pop()
        except IndexError:
            raise Empty from None

    def put(self, connection: Any, *, block: bool = True) -> None:  # noqa: ARG002 - urllib3's form of it
        """Put one there, or None where none was made yet.

        Raises:
            Full: there is no room, nor will be.
        """
        if len(self._lying) >= self._size:
            raise Full
        self._lying.append(connection)

    def qsize(self) -> int:
        """Tell how many lie there."""
        return len(self._lying)


class DeadlinePool(HTTPConnectionPool):
    """One thread's connections to one host."""

    ConnectionCls: Any = DeadlineConnection  # whose answer is not urllib3's
    QueueCls: Any = _Shelf
    flight: Flight

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._heads = Heads()

    def urlopen(self, method: str, url: str, body: Any = None, headers: Any = None, **options: Any) -> Any:  # type: ignore[override]  # see `Answer`
        """Give the answer to a request: over the connection that stands, else as urllib3 makes one.

        To connect, with TLS and through proxies, is urllib3's to do, and so is what a proxy is told.
        """
        connection = self._that_stands() if self.proxy is None else None
        if connection is None:
            return super().urlopen(method, url, body, headers, **options)
        try:
            return connection.exchange(self._heads, method, url, body, headers)
        except BaseException:
            connection.close()
            raise

    def done_with(self, answer: Answer, *, whole: bool) -> None:
        """Keep an answer's connection for the next call; one whose answer was not heard out is opened anew."""
        connection = answer.part()
        if not whole:
            answer.close()
            connection.close()
        connection.idle_since = self.flight.now()
        self._put_conn(connection)

    def _get_conn(self, timeout: float | None = None) -> Any:
        connection: Any = super()._get_conn(timeout)  # without one that the other side has closed meanwhile
        if not connection.is_closed and not self.flight.may_use(connection.idle_since):
            connection.close()
        connection.flight = self.flight
        return connection

    def _that_stands(self) -> DeadlineConnection | None:
        """Take the idle connection, if it is open; None: there is none, and urllib3 sees to it."""
        shelf = self.pool
        if shelf is None:
            return None
        try:
            connection: DeadlineConnection | None = shelf.get(block=False)
        except Empty:
            return None
        if connection is None or connection.is_closed:
            shelf.put(connection, block=False)
            return None
        # One that the other side has closed meanwhile has something to be read: the end.
        if not self.flight.may_use(connection.idle_since) or not connection.is_connected:
            connection.close()
            shelf.put(connection, block=False)
            return None
        connection.flight = self.flight
        return connection


class DeadlineTlsPool(DeadlinePool, HTTPSConnectionPool):
    """The same over TLS."""

    ConnectionCls: Any = DeadlineTlsConnection


_POOLS: Final = {"http": DeadlinePool, "https": DeadlineTlsPool}


class DeadlineAdapter(HTTPAdapter):
    """The transport of one thread's session: no retries, no cookies, one connection to each host."""

    def __init__(self) -> None:
        super().__init__(pool_connections=8, pool_maxsize=1, max_retries=0)
        self._chosen: dict[str, Any] = {}
        self._paths: dict[str, str] = {}
        self.flight: Flight | None = None
        self._pool: Any = None  # the flight's

    def call(self, request: PreparedRequest, flight: Flight, environment: Mapping[str, Any]) -> Answer:
        """Send a request within what remains of its flight; `environment`: what the session knows of its URL.

        Raises:
            RequestException, HTTPError, HTTPException, OSError: there is no answer, or not the beginning of one.
        """
        self.flight = flight
        timeout: Any = Left(flight.remaining_s())  # which it takes, though its types do not say so
        return cast("Answer", self.send(request, timeout=timeout, **environment))  # `build_response`

    def done_with(self, answer: Answer, *, whole: bool) -> None:
        """Take back what `call` gave; `whole`: it was heard out."""
        self._pool.done_with(answer, whole=whole)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Let the pool manager make our pools."""
        super().init_poolmanager(*args, **options)
        manager: Any = self.poolmanager
        manager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Let a proxy's manager make our pools.

        Raises:
            InvalidSchema: a SOCKS proxy, whose connections are its own and hold no deadline.
        """
        if proxy.lower().startswith("socks"):
            raise InvalidSchema("a SOCKS proxy is not supported")
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def get_connection_with_tls_context(self, request: PreparedRequest, *args: Any, **options: Any) -> Any:
        """Give the pool of the request's URL, found once, and put the flight on it."""
        url = str(request.url)
        pool: Any = self._chosen.get(url)
        if pool is None:
            pool = self._chosen[url] = super().get_connection_with_tls_context(request, *args, **options)
        pool.flight = self.flight
        self._pool = pool
        return pool

    def request_url(self, request: PreparedRequest, proxies: Any) -> str:
        """Give what the request line names: the path, or the whole URL to a proxy; found once for each URL."""
        url = str(request.url)
        path = self._paths.get(url)
        if path is None:
            path = self._paths[url] = super().request_url(request, proxies)
        return path

    def build_response(self, _request: PreparedRequest, resp: Any) -> Any:
        """Give an answer as it is. What requests wraps around it (cookies, history, hooks) nobody looks at."""
        return resp

    def close(self) -> None:
        """Close every idle connection. A later call opens new ones."""
        chosen, self._chosen = self._chosen, {}
        for pool in chosen.values():
            pool.close()
        super().close()

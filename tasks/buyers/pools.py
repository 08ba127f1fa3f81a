"""One thread's way to the buyer: requests' adapter and urllib3's pools, of connections that hold a call's deadline."""

from __future__ import annotations

from collections.abc import Mapping
from queue import Empty, Full
from typing import Any, Final, cast

from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidSchema
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, Timeout

from tasks.buyers.connections import DeadlineConnection, DeadlineTlsConnection
from tasks.buyers.flight import Flight
from tasks.buyers.head import Answer
from tasks.buyers.heads import Heads


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

    def get(self, **_: Any) -> Any:
        """Take what was put last, whether urllib3 would wait (`block`, `timeout`) or not.

        Raises:
            Empty: nothing is there, nor will be.
        """
        try:
            return self._lying.pop()
        except IndexError:
            raise Empty from None

    def put(self, connection: Any, **_: Any) -> None:
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

    def urlopen(self, method: str, url: str, body: Any = None, headers: Any = None, *args: Any, **options: Any) -> Any:
        """Give the `Answer` to a request: over the connection that stands, else as urllib3 makes one.

        To connect, with TLS and through proxies, is urllib3's to do, and so is what a proxy is told.
        """
        connection = self._that_stands() if self.proxy is None else None
        if connection is None:
            return super().urlopen(method, url, body, headers, *args, **options)
        try:
            return connection.exchange(self._heads, method, url, body, headers)
        except BaseException:
            connection.close()
            raise

    def done_with(self, answer: Answer, *, whole: bool) -> None:
        """Keep an answer's connection for the next call.

        One whose answer was not heard out, or by which more came than that, is opened anew: the next lead's answer must
        be its own.
        """
        connection = answer.part()
        if not whole or self.flight.more:
            answer.close()
            connection.close()
        connection.idle_since = self.flight.now()
        self._put_conn(connection)

    def _get_conn(self, timeout: float | None = None) -> Any:
        connection: Any = super()._get_conn(timeout)  # without one that the other side has closed meanwhile
        if not connection.is_closed and not self._is_fit(connection):
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
        if not self._is_fit(connection) or not connection.is_connected:
            connection.close()
            shelf.put(connection, block=False)
            return None
        connection.flight = self.flight
        return connection

    def _is_fit(self, connection: Any) -> bool:
        """Whether a connection may be used for this call, as far as its socket need not be asked."""
        decrypted = getattr(connection.sock, "pending", None)  # with TLS, what came may have left the socket
        return self.flight.may_use(connection.idle_since) and not (decrypted and decrypted())


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

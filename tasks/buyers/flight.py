"""One call on its way: its deadline, and what became of it.

Timeouts of requests and urllib3 bound the wait for the next byte, so that a buyer that sends a byte a second is never
late. Here every wait of a call (name, connection, TLS, request, headers, body) gets what remains of one deadline.
"""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Callable
from typing import Any, Final

SELLING_IDLE_S: Final = 2.0
PING_IDLE_S: Final = 30.0
# A socket's timeout is set anew where it would end so much too late or too early: each time is a call to the system.
EXACT_S: Final = 0.02
MOST_RECEIVED: Final = 1 << 20  # bytes on the wire, headers and chunk sizes included

Address = tuple[Any, ...]


class Flight:
    """One call on its way: how much time it has left, and what became of it.

    Args:
        sells: whether this call must not go out on a connection that may have been closed while idle.
        timeout_s: the buyer's time for the whole answer, from now.
        connect_timeout_s: the part of it within which there must be a connection.
        query: what stands behind the URL's path. The libraries never see it: they log and raise with URLs in the text.
        clock: monotonic seconds.
    """

    __slots__ = (
        "_clock",
        "_connect_by",
        "_connect_s",
        "_end",
        "_timeout_s",
        "ended",
        "more",
        "query",
        "received",
        "sells",
        "sent",
        "trouble",
    )

    def __init__(
        self, *, sells: bool, timeout_s: float, connect_timeout_s: float, query: str, clock: Callable[[], float]
    ) -> None:
        now = clock()
        self._clock = clock
        self._timeout_s = timeout_s
        self._connect_s = min(connect_timeout_s, timeout_s)
        self._end = now + timeout_s
        self._connect_by = now + self._connect_s
        self.sells = sells
        self.query = query
        self.sent = False
        self.received = 0
        self.ended = False
        self.more = False  # something came behind the answer
        self.trouble: str | None = None

    def remaining_s(self) -> float:
        """Give the seconds that remain of the call, more than 0.

        Raises:
            TimeoutError: none do.
        """
        left = self._end - self._clock()
        if left <= 0:
            raise self.late()
        return left

    def bound(self, connection: socket.socket) -> None:
        """Let the socket's next wait end with the call's time.

        Raises:
            TimeoutError: it is up.
        """
        left, bound = self.remaining_s(), connection.gettimeout()
        if bound is None or abs(bound - left) > min(EXACT_S, left / 2):
            connection.settimeout(left)

    def connecting_s(self) -> float:
        """Give the seconds that remain to connect, more than 0.

        Raises:
            TimeoutError: none do.
        """
        left = self._connect_by - self._clock()
        if left <= 0:
            raise self.late()
        return left

    def late(self) -> TimeoutError:
        """Note that time is up, and give the error to raise."""
        if not self.sent:
            return TimeoutError(self.note(f"no connection within {self._connect_s:.3g} s"))
        what = "no whole answer" if self.received else "no answer"
        return TimeoutError(self.note(f"{what} within {self._timeout_s:.3g} s"))

    def note(self, trouble: str) -> str:
        """Keep the first trouble: what follows is its consequence."""
        self.trouble = self.trouble or trouble
        return self.trouble

    def may_use(self, idle_since: float) -> bool:
        """Whether a connection that has been idle since then is fit for this call."""
        return self._clock() - idle_since <= (SELLING_IDLE_S if self.sells else PING_IDLE_S)

    def now(self) -> float:
        """Give the clock's time."""
        return self._clock()


class _Incoming(io.RawIOBase):
    """A socket's bytes, each read within what remains of the deadline."""

    def __init__(self, connection: socket.socket, flight: Flight) -> None:
        super().__init__()
        self._socket = connection
        self._raw: Any = connection.makefile("rb", buffering=0)
        self._flight = flight
        self.over = False  # nothing more is read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.over:
            return None
        flight = self._flight
        try:
            flight.bound(self._socket)
            count: int = self._raw.readinto(buffer)
        except TimeoutError:
            raise flight.late() from None
        except OSError:
            raise ConnectionResetError(flight.note("connection reset")) from None
        flight.ended = count == 0
        flight.received += count
        if flight.received > MOST_RECEIVED:
            raise OSError(flight.note(f"more than {MOST_RECEIVED} bytes"))
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Reader(io.BufferedReader):
    """Reads ahead; tells the flight at the end whether more has come than the answer."""

    def __init__(self, incoming: _Incoming, flight: Flight) -> None:
        super().__init__(incoming)
        self._incoming = incoming
        self._flight = flight

    def close(self) -> None:
        if not self.closed:
            self._incoming.over = True
            self._flight.more = bool(self.peek())
        super().close()


class Source:
    """What `http.client.HTTPResponse` wants of a socket: a file to read from."""

    def __init__(self, connection: socket.socket, flight: Flight) -> None:
        self._connection = connection
        self._flight = flight

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Give the file; it is always read as bytes, through a buffer."""
        return _Reader(_Incoming(self._connection, self._flight), self._flight)


def resolved(host: str, port: int, flight: Flight) -> list[Address]:
    """Resolve a name within the time to connect.

    Raises:
        OSError: it does not resolve, or not in time.
    """
    host = host.strip("[]")
    try:
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
    except (OSError, UnicodeError):
        pass  # a name: the resolver knows no timeout, so that it is asked by a thread that may be left behind
    found: list[Address] = []
    done = threading.Event()

    def ask() -> None:
        try:
            found.extend(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError):
            pass
        finally:
            done.set()

    threading.Thread(target=ask, name="resolve", daemon=True).start()
    if not done.wait(flight.connecting_s()):
        raise TimeoutError(flight.note("the name did not resolve in time"))
    return found

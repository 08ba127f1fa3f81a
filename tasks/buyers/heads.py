"""The heads of requests: as http.client wrote the first of its kind, but for the query and the length of the body.

http.client puts a head together line by line, and looks at each for what must not be in it. Those of one endpoint
differ in nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping

_Kind = tuple[str | None, ...]


class Heads:
    """Heads that were written before. Used by one thread."""

    def __init__(self) -> None:
        self._known: dict[_Kind, tuple[bytes, bytes]] = {}

    def learn(
        self, head: bytes, method: str, url: str, query: str, headers: Mapping[str, str], body: bytes | None
    ) -> None:
        """Keep a head that was written for these. One that holds them otherwise than it should is not kept."""
        start, length = f"{method} {url}".encode(), _length(body)
        first = start + query.encode()
        if head.startswith(first + b" ") and head.endswith(length):
            self._known[_kind(method, url, headers, body)] = start, head[len(first) : len(head) - len(length)]

    def of(self, method: str, url: str, query: str, headers: Mapping[str, str], body: bytes | None) -> bytes | None:
        """Give the head for these; None: there was none of its kind yet."""
        known = self._known.get(_kind(method, url, headers, body))
        return None if known is None else b"".join([known[0], query.encode(), known[1], _length(body)])


def _kind(method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> _Kind:
    """Tell apart what else may differ. With a body, the last header is its length."""
    values = (method, url, *headers.values())
    return (*values, None) if body is None else values[:-1]


def _length(body: bytes | None) -> bytes:
    return b"\r\n\r\n" if body is None else b"Content-Length: %d\r\n\r\n" % len(body)

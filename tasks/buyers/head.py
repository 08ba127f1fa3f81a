"""An answer, and its head: a short way for the plain ones that buyers send, and http.client's own for any other.

http.client reads a head line by line and has it parsed as an e-mail's, which costs more than sending the request does.
One that has come whole, in lines that nothing but a name and a visible value stands in, is taken by one expression, and
means what http.client would have made of it.
"""

from __future__ import annotations

import http.client
import io
import re
import socket
from collections.abc import Mapping
from typing import Any, Final, Protocol, cast

_PLAIN: Final = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9]{2}) ([!-~](?:[ -~]*[!-~])?)?\r\n((?:[\w-]+:[ \t]*[!-~](?:[ -~]*[!-~])?\r\n){1,50})\r\n",
    re.ASCII,
)
_LINES: Final = re.compile(r"([^:]+):[ \t]*([^\r]+)\r\n")
_FOLDED: Final = re.compile(r"[\r\n]+[ \t]*")
_LENGTH: Final = re.compile(r"[0-9]{1,15}")
# They have no body, and what comes behind them is no answer to anything: their connection is not used again.
_BODILESS: Final = (101, 204, 304)
# Of a body in parts http.client looks for the parts in the head.
_IN_PARTS: Final = ("multipart/", "message/")


class Readable(Protocol):
    """All that http.client asks of a socket: a file to read from."""

    def makefile(self, mode: str, /) -> io.BufferedReader:
        """Give the file."""
        ...


class Answer(http.client.HTTPResponse):
    """An answer as http.client reads it, a plain head at once.

    `said` are its headers by their names in small letters; what is said more than once is joined by commas.
    `connection` is the one that it comes by.
    """

    said: Mapping[str, str]
    connection: Any = None
    # What urllib3 notes of an answer, and asks for its debug log.
    _connection: Any = None
    _pool: Any = None
    retries: Any = None
    version_string = "HTTP/1"
    length_remaining = None

    def __init__(self, source: Readable, *args: Any, **options: Any) -> None:
        super().__init__(cast("socket.socket", source), *args, **options)

    def part(self) -> Any:
        """Give its connection, and know it no more: knowing each other, both would outlive their thread."""
        connection, self.connection = self.connection, None
        self._connection = self._pool = None
        return connection

    def begin(self) -> None:
        """Read status and headers."""
        while not self._took(self.fp.peek()):
            super().begin()
            if self.status in _BODILESS or not 100 <= self.status < 200:
                self.will_close = self.will_close or self.status in _BODILESS
                self.said = _said(self.headers)
                return
            # One in the interim, which http.client takes for the answer: the buyer's own would be heard as the answer
            # to the next lead.
            self.headers = self.msg = cast("http.client.HTTPMessage", None)

    def _took(self, come: bytes) -> bool:
        """Take the head of what has come so far, if it is a plain one."""
        found = _PLAIN.match(come)
        if found is None or (status := int(found[1])) in _BODILESS:
            return False
        lines = _LINES.findall(found[3].decode())
        said = {name.lower(): value for name, value in lines}
        length = said.get("content-length")
        if (
            len(said) < len(lines)  # something is said twice
            or not (length is None or _LENGTH.fullmatch(length))
            or said.get("content-type", "").lower().startswith(_IN_PARTS)
        ):
            return False
        self.fp.read(found.end())
        self.said = said
        self.headers = self.msg = headers = http.client.HTTPMessage()
        for name, value in lines:
            headers.set_raw(name, value)
        self.version, self.code, self.status = 11, status, status
        self.reason = (found[2] or b"").decode()
        self.chunked = said.get("transfer-encoding", "").lower() == "chunked"
        self.chunk_left = None
        self.length = None if self.chunked or length is None else int(length)
        goes_on_for_ever = not self.chunked and self.length is None
        self.will_close = goes_on_for_ever or "close" in said.get("connection", "").lower()
        return True


def _said(headers: http.client.HTTPMessage) -> dict[str, str]:
    said: dict[str, list[str]] = {}
    for name, value in headers.items():
        said.setdefault(name.lower(), []).append(_FOLDED.sub(" ", value))
    return {name: ", ".join(values) for name, values in said.items()}

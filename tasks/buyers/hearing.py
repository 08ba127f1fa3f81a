"""Hearing an answer out: never more than a limit, compressed or not, and what came of it where it broke off."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from http.client import HTTPException, IncompleteRead
from typing import Final

from tasks.buyers.head import Answer
from tasks.buyers.leaves import decode
from tasks.core.reasons import Unreadable

_HALF_A_VALUE: Final = re.compile(r"[^\s\"'<>=&,;:]*\Z")


class Heard:
    """What was heard of an answer, in full or in part: at most `limit` bytes of its body.

    `headers` are by names in small letters (`Answer.said`).
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0
        self.status: int | None = None
        self.headers: Mapping[str, str] = {}
        self.whole = False

    def listen(self, answer: Answer) -> None:
        """Read the body up to one byte over the limit.

        Raises:
            HTTPException, OSError, ValueError: it broke off; what came so far is kept.
        """
        self.status, self.headers = answer.status, answer.said
        agreed = None if answer.chunked else _agreed(self.headers.get("content-length", ""))
        while self._size <= self._limit:
            piece = answer.read(self._limit + 1 - self._size)
            if piece:
                self._pieces.append(piece)
                self._size += len(piece)
            elif answer.length or (answer.length is None and agreed is not None and self._size < agreed):
                raise IncompleteRead(b"", answer.length)
            if not piece or answer.isclosed():
                self.whole = True
                return

    def content(self) -> bytes | Unreadable:
        """Give the body, inflated where the buyer compressed it unasked, or why there is none."""
        body = b"".join(self._pieces)
        encoding = self.headers.get("content-encoding", "").strip().lower()
        if encoding not in ("", "identity") and len(body) <= self._limit:
            if encoding not in ("gzip", "x-gzip", "deflate"):
                return Unreadable("a content encoding that was not asked for")
            inflated = _inflated(body, self._limit + 1)
            if inflated is None:
                return Unreadable("a compressed body that cannot be read")
            body = inflated
        return body if len(body) <= self._limit else Unreadable(f"longer than {self._limit} bytes")

    def text(self, *, whole: bool) -> str:
        """Give the body as text. Of one that broke off, without the value in which it did: half of one is unmasked."""
        content = self.content()
        body = b"".join(self._pieces) if isinstance(content, Unreadable) else content
        text = decode(body, self.headers.get("content-type"))
        return text if whole else _HALF_A_VALUE.sub("", text)


def _agreed(lengths: str) -> int | None:
    """Give the length that was told more than once, which http.client takes for none.

    Raises:
        HTTPException: it was told in two ways.
    """
    if "," not in lengths:
        return None
    try:
        length, *others = {int(length) for length in lengths.split(",")}
    except ValueError:
        return None
    if others:
        raise HTTPException("two lengths")
    return length


def _inflated(body: bytes, most: int) -> bytes | None:
    """Inflate gzip or zlib, or deflate without a header, up to `most` bytes; None where it is none, or cut."""
    for wbits in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):
        engine = zlib.decompressobj(wbits)
        try:
            plain = engine.decompress(body, most)
        except zlib.error:
            continue
        return plain if engine.eof or len(plain) == most else None
    return None

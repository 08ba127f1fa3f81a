"""A message as AMQP 0-9-1 carries it: the bytes that py-amqp would write, of many messages at once.

py-amqp packs each message argument by argument, and hands it to the system alone. Here what differs between messages of
one kind, a few short texts, is put between what does not; anything else is packed by py-amqp.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from amqp import Message
from amqp.serialization import dumps

_HEAD: Final = struct.Struct(">BHI")  # a frame's kind, its channel, the size of what it carries
_END: Final = b"\xce"
_METHOD, _HEADER, _BODY = 1, 2, 3
_PUBLISH: Final = struct.Struct(">HHH").pack(60, 40, 0)
_CONTENT: Final = struct.Struct(">HHQ")
_FLAGS: Final = struct.Struct(">H")
_LENGTH: Final = struct.Struct("B")
_AROUND: Final = 8  # bytes of a frame beside what it carries, as a broker's limit counts them
_PROPERTIES: Final = tuple((name, kind, 1 << 15 - place) for place, (name, kind) in enumerate(Message.PROPERTIES))


def published(message: Message, channel: int, most: int, *, exchange: str, routing_key: str) -> bytes:
    """Give the frames that publish a message on a channel; `most` is the largest frame that the broker takes, in bytes.

    Raises:
        Exception: nobody can write it: a text is too long, or a header of a type that AMQP has not.
    """
    told = message.properties
    body = message.body
    if isinstance(body, str):
        body = body.encode(told.setdefault("content_encoding", "utf-8"))
    content = _CONTENT.pack(60, 0, len(body)) + _packed(told)
    frames = [_where(channel, exchange, routing_key), _frame(_HEADER, channel, content)]
    frames += [_frame(_BODY, channel, part) for part in _parts(body, most - _AROUND)]
    return b"".join(frames)


@lru_cache(1024)
def _where(channel: int, exchange: str, routing_key: str) -> bytes:
    return _frame(_METHOD, channel, b"".join([_PUBLISH, _text(exchange), _text(routing_key), b"\0"]))


def _frame(kind: int, channel: int, carried: bytes) -> bytes:
    return b"".join([_HEAD.pack(kind, channel, len(carried)), carried, _END])


def _parts(body: bytes, size: int) -> Iterator[bytes]:
    return (body[start : start + size] for start in range(0, len(body), size))


def _packed(told: Mapping[str, Any]) -> bytes:
    flags, values = 0, [b""]
    for name, kind, flag in _PROPERTIES:
        value = told.get(name)
        if value is not None:
            flags |= flag
            values.append(_text(value) if kind == "s" and isinstance(value, str) else dumps(kind, [value]))
    values[0] = _FLAGS.pack(flags)
    return b"".join(values)


def _text(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogatepass")
    return _LENGTH.pack(len(raw)) + raw

"""What lies in a list of upstream's: a plain JSON object, or kombu's envelope around it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

from tasks.core import jsonobject
from workers.intake.message import Message

_LARGEST: Final = 256 * 1024  # base64 of the largest body and what is around it, with room
_PARTS: Final = frozenset({"body", "properties", "headers"})
_HINT: Final = b'"properties"'


def unwrap(raw: bytes, *, redelivered: bool) -> Message:
    """Give the message of one element; `token` is the element itself."""
    envelope = _envelope(raw)
    if envelope is None:
        return Message(raw, "list", redelivered=redelivered, token=raw)
    properties = envelope["properties"]
    try:
        body = _body(envelope["body"], properties.get("body_encoding"))
    except ValueError:
        return Message(raw, redelivered=redelivered, unreadable="the envelope's body cannot be decoded", token=raw)
    content_type = envelope.get("content-type")
    timestamp = properties.get("timestamp")
    return Message(
        body=body,
        message_id=_text(properties, "message_id"),
        reply_to=_text(properties, "reply_to"),
        correlation_id=_text(properties, "correlation_id"),
        timestamp=timestamp if isinstance(timestamp, int) else None,
        content_type=content_type if isinstance(content_type, str) else None,
        redelivered=redelivered,
        token=raw,
    )


def _envelope(raw: bytes) -> dict[str, Any] | None:
    if _HINT not in raw:
        return None  # plain, as far as a glance tells: its reading judges the rest
    try:
        found = jsonobject.parse(raw, _LARGEST)
    except jsonobject.NotAnObject:
        return None
    return found if found.keys() >= _PARTS and isinstance(found["properties"], dict) else None


def _body(body: object, encoding: object) -> bytes:
    """Decode a body.

    Raises:
        ValueError: it is no string, or not in its encoding.
    """
    if not isinstance(body, str):
        raise ValueError("not a string")  # noqa: TRY004 - of a message, not of a caller
    if encoding != "base64":
        return body.encode()
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as fault:
        raise ValueError("not base64") from fault


def _text(properties: Mapping[str, Any], name: str) -> str | None:
    value = properties.get(name)
    return value if isinstance(value, str) else None

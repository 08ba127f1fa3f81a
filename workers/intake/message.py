"""A message of upstream's, in one shape for every broker and every client."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

LARGEST_BODY: Final = 64 * 1024
Medium = Literal["queue", "list"]


@dataclass(frozen=True, slots=True)
class Message:
    """What was sent, unread.

    `medium` says what a `reply_to` inside the body names: a queue of the broker's, or a plain list of Redis's.
    `timestamp` is the producer's, in seconds or milliseconds since 1970. `redelivered`: this message may have been
    handed out before. `unreadable` says why what is around the body cannot be trusted; such a message is buried.
    `token` is the source's own, by which it knows the message again.
    """

    body: bytes = field(repr=False)
    medium: Medium = "queue"
    message_id: str | None = None
    reply_to: str | None = None
    correlation_id: str | None = None
    timestamp: int | None = None
    content_type: str | None = None
    redelivered: bool = False
    unreadable: str | None = None
    token: object = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why a message cannot be read, or could not be handled: it becomes a dead letter."""

    reason: str

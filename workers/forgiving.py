"""A py-amqp that outlives properties which it cannot read."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from amqp.exceptions import AMQPError
from amqp.method_framing import frame_handler

UNREADABLE: Final = "unreadable properties"
_HEADER_FRAME: Final = 2
_HEADER_START: Final = 12  # bytes before the properties: class, weight, body size
# A header with one property, `type`, which says that the real ones could not be read.
_MARKED: Final = struct.pack(">HB", 0x0020, len(UNREADABLE)) + UNREADABLE.encode()

Frame = tuple[int, int, bytes]


class Forgiving:
    """A py-amqp frame handler that gives a message whose properties cannot be read the type `UNREADABLE`.

    py-amqp decodes properties inside its reader. A client that sends a name that is not UTF-8, or a header of an
    unheard-of type, would break our connection, and again each time that the broker hands the message out.
    """

    def __call__(self, connection: Any, callback: Callable[..., None]) -> Callable[[Frame], Any]:
        """Give the handler of one connection's frames."""
        on_frame = frame_handler(connection, callback)

        def read(frame: Frame) -> Any:
            try:
                return on_frame(frame)
            except (AMQPError, ValueError, OverflowError, LookupError, ArithmeticError, RecursionError, struct.error):
                kind, channel, payload = frame
                if kind != _HEADER_FRAME:
                    raise
                return on_frame((kind, channel, bytes(payload[:_HEADER_START]) + _MARKED))

        return read

    def __json__(self) -> str:
        """Say what stands here: ``celery inspect`` sends a connection's options over the wire."""
        return "forgiving"

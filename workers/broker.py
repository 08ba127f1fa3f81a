"""What all who talk to a broker share, whichever it is."""

from __future__ import annotations

import contextlib
from typing import Any

from tasks.away import BROKER_AWAY


def hang_up(connection: Any) -> None:
    """Close a kombu connection without a word to the broker, which may not be there to answer."""
    with contextlib.suppress(*BROKER_AWAY, AttributeError):
        if connection.connected and hasattr(connection.connection, "collect"):
            connection.connection.collect()
        else:
            connection.close()

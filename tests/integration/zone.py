"""A time zone of the tests' own, in which the buyer's next day begins within seconds."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

RESET = "06:30"


def soon(folder: Path, within_s: int) -> tuple[dict[str, str], datetime]:
    """Write a zone in which it is `RESET` in so many seconds; give the settings that name it, and when that is."""
    moment = (datetime.now(UTC) + timedelta(seconds=within_s)).replace(microsecond=0)
    local = timedelta(hours=6, minutes=30)
    offset = (local - timedelta(hours=moment.hour, minutes=moment.minute, seconds=moment.second)).total_seconds()
    if offset <= -43200:
        offset += 86400
    # RFC 8536: a header, one type of local time, its name.
    counts = struct.pack(">6l", 0, 0, 0, 0, 1, 4)
    kind = struct.pack(">lbb", int(offset), 0, 0)
    (folder / "Soon").write_bytes(b"TZif" + b"\0" * 16 + counts + kind + b"TST\0")
    return {"PYTHONTZPATH": str(folder), "PINGPOST_BUYER_TIMEZONE": "Soon", "PINGPOST_BUYER_RESET": RESET}, moment

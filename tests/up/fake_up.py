"""A `pingpost up` with a real embedded server and made-up parts, for `test_house.py`."""

from __future__ import annotations

import asyncio
import sys

from workers import settings
from workers.house import AlreadyUp, House
from workers.lineup import Choice
from workers.output import Lines
from workers.part import Part, PartFailed

CODE = """
import json, os, signal, sys
name = sys.argv[1]
if name == sys.argv[2]:
    sys.exit("I never start")
signal.signal(15, lambda *_: sys.exit(0))
told = {key: value for key, value in os.environ.items() if key.startswith("PINGPOST_")}
print(json.dumps({"event": name + ".ready", "pid": os.getpid(), "told": told}), flush=True)
print("a line that is not JSON", flush=True)
while True:
    signal.pause()
"""


def parts(_, places, __):
    bad = sys.argv[1] if len(sys.argv) > 1 else ""
    return tuple(
        Part(
            name,
            (sys.executable, "-c", CODE, name, bad),
            places.environment(),
            ready_event=f"{name}.ready",
            stop_rank=rank,
        )
        for rank, name in enumerate(("intake", "beat", "worker"))
    )


if __name__ == "__main__":
    lines = Lines(sys.stdout.buffer, lambda _, __, event: event)
    house = House(settings.load(), Choice(), lines.log, lines.take, parts=parts)
    lines.on_lost = house.end
    try:
        sys.exit(0 if asyncio.run(house.run()) else 1)
    except AlreadyUp:
        sys.exit(3)
    except PartFailed as failed:
        sys.exit(f"{failed}: {failed.last_lines[-1]}")

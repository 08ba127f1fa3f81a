"""Beat's entries: data only. Each task is safe to run twice and late, so a second beat does no harm."""

from __future__ import annotations

from typing import Any, Final

from workers.topology import UPKEEP

# A tick that nobody could take is worth nothing once the next one is there. Still it lives a minute: expiry compares
# the clocks of two machines, and a beat that is some seconds behind must not have every sweep thrown away.
SCHEDULE: Final[dict[str, dict[str, Any]]] = {
    "sweep": {"task": "sweep", "schedule": 1.0, "options": {"queue": UPKEEP, "expires": 60}},
    "reset_caps": {"task": "reset_caps", "schedule": 5.0, "options": {"queue": UPKEEP, "expires": 60}},
    "forget": {"task": "forget", "schedule": 600.0, "options": {"queue": UPKEEP, "expires": 60}},
}

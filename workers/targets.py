"""Where the parts of a ``pingpost up`` serve their metrics, for people and for Prometheus (`file_sd_configs`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from workers import folder
from workers.lineup import Choice, metrics_ports
from workers.ports import LOOPBACK, is_free
from workers.settings import PREFIX, Settings, SettingsError

FILE: Final = "metrics-targets.json"
_EVERYWHERE: Final = ("0.0.0.0", "::", "")  # noqa: S104 - to tell where a listener that was told so is found


def targets(settings: Settings, choice: Choice) -> dict[str, str]:
    """Give each part's ``host:port``; none where no port is set."""
    address = settings.metrics_address
    host = LOOPBACK if address in _EVERYWHERE else f"[{address}]" if ":" in address else address
    return {part: f"{host}:{port}" for part, port in metrics_ports(settings, choice).items()}


def check_ports(settings: Settings, choice: Choice) -> None:
    """Refuse ports that are taken, before a part finds that out.

    Raises:
        SettingsError: naming the variable, and the port.
    """
    ports = list(metrics_ports(settings, choice).values())
    for port in ports:
        if port > 65535 or not is_free(port, settings.metrics_address):
            why = f"{port} is {'no port' if port > 65535 else f'taken on {settings.metrics_address}'}"
            raise SettingsError(f"{PREFIX}METRICS_PORT: {why}; the parts take {ports[0]} to {ports[-1]}")


def tell_prometheus(data: Path, places: Mapping[str, str]) -> None:
    """Write the file that Prometheus reads targets from, or remove it where there are none.

    It stays when the up ends: what should be there and is not, is what Prometheus shall see.

    Raises:
        OSError: the folder is not writable.
    """
    if not places:
        (data / FILE).unlink(missing_ok=True)
        return
    groups = [{"targets": [place], "labels": {"part": part}} for part, place in places.items()]
    folder.write_private(data / FILE, json.dumps(groups, indent=1) + "\n")

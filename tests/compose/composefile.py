"""docker-compose.yml as its tests need it: read, and with Compose's own substitutions made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "ops" / "docker" / "Dockerfile"
SECRETS = "/run/secrets/"

_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?::-([^}]*))?\})")


def read(environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Read the file with the variables of `environment`, as Compose takes them from .env and the shell."""
    given = environment or {}
    loaded: dict[str, Any] = _filled(yaml.safe_load(FILE.read_text()), given)
    for service in loaded["services"].values():
        variables = service.get("environment", {})
        # A variable without a value is handed on where it is known, and left out where it is not.
        known = {name: given.get(name) if value is None else value for name, value in variables.items()}
        service["environment"] = {name: value for name, value in known.items() if value is not None}
        service["offered"] = set(variables)
    return loaded


def is_ours(service: Mapping[str, Any]) -> bool:
    """Whether a service is built from this project."""
    return "build" in service


def seconds(duration: str) -> float:
    """Read Compose's durations, such as ``90s`` and ``1m30s``."""
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
    parts = re.findall(r"(\d+)(ms|s|m|h)", duration)
    assert "".join(number + unit for number, unit in parts) == duration
    return sum(int(number) * units[unit] for number, unit in parts)


def _filled(node: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: _filled(value, environment) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, environment) for value in node]
    if isinstance(node, str):
        return _VARIABLE.sub(lambda found: found[1] or environment.get(found[2]) or found[3] or "", node)
    return node

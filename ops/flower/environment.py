"""Flower's environment: what is set where the operator has set nothing, and what is refused."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path
from typing import Final

from workers.settings import SettingsError

DEFAULTS: Final = {
    "FLOWER_CONF": str(Path(__file__).with_name("flowerconfig.py")),
    # It listens on all interfaces unless it is told otherwise.
    "FLOWER_ADDRESS": "127.0.0.1",
    # Tornado's own lines are no JSON: `flowerconfig` sets ours up instead.
    "FLOWER_LOGGING": "none",
    # What an operator looks for first: which lead, and what became of it. The way to a task's page is its uuid.
    "FLOWER_TASKS_COLUMNS": "args,name,result,state,retries,received,runtime,worker,uuid",
    # Two a lead that is sold. README.md has what they weigh.
    "FLOWER_MAX_TASKS": "20000",
    # So long a worker that is gone stands there as offline.
    "FLOWER_PURGE_OFFLINE_WORKERS": "3600",
}
SWITCHES: Final = ("FLOWER_READ_ONLY", "FLOWER_UNAUTHENTICATED_API")
PASSWORDS: Final = "FLOWER_BASIC_AUTH"
PASSWORDS_FILE: Final = f"{PASSWORDS}_FILE"
# As Flower reads them.
_WORDS: Final = frozenset({"y", "yes", "t", "true", "on", "1", "n", "no", "f", "false", "off", "0"})


def prepare(environment: MutableMapping[str, str]) -> None:
    """Make an environment ready for Flower, which reads no secret from a file and takes an empty password for one.

    Raises:
        SettingsError: naming the variable. Better no Flower than one that lets everybody in, or lets them do anything.
    """
    for name in [name for name, value in environment.items() if name.startswith("FLOWER_") and not value.strip()]:
        del environment[name]
    for name in SWITCHES:
        if environment.get(name, "no").lower() not in _WORDS:
            raise SettingsError(f"{name}: true or false")
    if PASSWORDS in environment:
        _check(PASSWORDS, environment[PASSWORDS].split(","))
    elif path := environment.get(PASSWORDS_FILE):
        people = _read(path)
        _check(f"{PASSWORDS_FILE}: {path}", people)
        environment[PASSWORDS] = ",".join(people)
    for name, value in DEFAULTS.items():
        environment.setdefault(name, value)


def _read(path: str) -> list[str]:
    """Read a file of ``USER:PASSWORD``, one a line."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise SettingsError(f"{PASSWORDS_FILE}: cannot read {path}: {fault.__class__.__name__}") from None
    return [line.strip() for line in lines if line.strip()]


def _check(source: str, people: list[str]) -> None:
    """Refuse what Flower would take for something else: a comma parts two people, and it compares ASCII alone."""
    parts = [person.partition(":") for person in people]
    if not parts or not all(user and password for user, _, password in parts):
        raise SettingsError(f"{source} holds no USER:PASSWORD")
    if any("," in person or not person.isascii() for person in people):
        raise SettingsError(f"{source}: a password is ASCII without a comma")

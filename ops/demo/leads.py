"""The demo's leads, and the outcome that the scenario (`ops/sandbox/scenarios/demo.toml`) gives to each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

COUNT: Final = 100

# Zip code, category, how many, expected status. The cap of category 16005 lets three of its seven be sold.
FATES: Final = (
    ("05000", 16001, 5, "rejected"),
    ("05001", 16002, 2, "rejected"),
    ("06000", 16003, 3, "rejected"),
    ("07777", 16001, 2, "rejected"),
    ("02000", 16002, 2, "blocked"),
    ("3313", 16004, 2, "invalid"),
    ("01000", 16001, 1, "sold"),
    ("01100", 16002, 1, "sold"),
    ("33139", 16005, 7, "sold or capped"),
)
CAPPED: Final = 4

_FIRST = ("Ana", "John", "Mei", "Omar", "Ines", "Paul")
_LAST = ("Doe", "Silva", "Chen", "Haddad", "Novak")


@dataclass(frozen=True, slots=True)
class Sample:
    """One lead of the demo and the status that it must end with."""

    lead: dict[str, Any]
    expected: str


def samples(run: str) -> Iterator[Sample]:
    """Give the demo's leads under ids of this `run`: most are sold, some meet each code of the buyer's table."""
    fates = [(zipcode, category, status) for zipcode, category, count, status in FATES for _ in range(count)]
    plain = COUNT - len(fates)
    step = COUNT / len(fates)
    places = {round(place * step): fate for place, fate in enumerate(fates)}
    for number in range(COUNT):
        category = 16001 + number % 4
        zipcode, numcategory, status = places.get(number, (f"{33100 + number}", category, "sold"))
        yield Sample(_lead(f"{run}-{number:03d}", number, zipcode, numcategory), status)
    if plain + len(fates) != COUNT:
        raise AssertionError("the fates do not fit")


def _lead(lead_id: str, number: int, zipcode: str, numcategory: int) -> dict[str, Any]:
    first, last = _FIRST[number % len(_FIRST)], _LAST[number % len(_LAST)]
    return {
        "lead_id": lead_id,
        "numcategory": numcategory,
        "transfer_type": 1 + number % 2,
        "zipcode": zipcode,
        # A sub source of its own, so that the buyer's 2000 closes its gate and not the partner's.
        "subid": "demo-blocked" if zipcode == "02000" else f"demo-{number % 3}",
        "state": "FL",
        "firstname": first,
        "lastname": last,
        "telephone": f"305555{number:04d}",
        "email": f"{first}.{last}.{number}@example.com".lower(),
    }

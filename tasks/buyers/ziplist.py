"""The ziplist: the zip codes, and the prices agreed for them, for which a lead is posted without a ping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tasks.buyers.registry import rows
from tasks.core.money import Money

COLUMNS: Final = ["zipcode", "price", "numcategory"]


@dataclass(frozen=True, slots=True)
class Ziplist:
    """Agreed prices by zip code and category; a price of no category holds for all that have none of their own."""

    prices: Mapping[tuple[str, int | None], Money]

    def price_for(self, zipcode: str, numcategory: int) -> Money | None:
        """Give the agreed price, or None where the zip code is not on the list."""
        own = self.prices.get((zipcode, numcategory))
        return self.prices.get((zipcode, None)) if own is None else own


def load_ziplist(path: Path) -> Ziplist:
    """Read a CSV file ``zipcode,price[,numcategory]``; a first line of these names is a heading.

    Raises:
        ValueError: a row that breaks a rule, or that gives a second price; the text names the line and the field.
        OSError: the file cannot be read.
    """
    prices: dict[tuple[str, int | None], Money] = {}
    for line, row in rows(path):
        if not prices and [cell.lower() for cell in row] in (COLUMNS[:2], COLUMNS):
            continue
        key, price = _agreed(row, line)
        if prices.setdefault(key, price) != price:
            raise ValueError(f"line {line}: price: another one than on a line before")
    return Ziplist(prices)


def _agreed(row: list[str], line: int) -> tuple[tuple[str, int | None], Money]:
    if len(row) not in (2, 3):
        raise ValueError(f"line {line}: must be zipcode,price or zipcode,price,numcategory")
    zipcode, price, numcategory = (*row, "")[:3]
    if not (zipcode.isascii() and zipcode.isdecimal() and len(zipcode) == 5):
        raise ValueError(f"line {line}: zipcode: must be exactly 5 digits")
    try:
        amount = Money.parse(price)
    except ValueError as fault:
        raise ValueError(f"line {line}: price: {fault}") from None
    if not numcategory:
        return (zipcode, None), amount
    if not (numcategory.isascii() and numcategory.isdecimal() and len(numcategory) < 10):
        raise ValueError(f"line {line}: numcategory: must be a number")
    return (zipcode, int(numcategory)), amount

"""An operator's own daily limits: how many pings and sales, and how much in payouts, a scope may bring in a day."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

COLUMNS = ("scope", "pings", "sales", "payouts")
KINDS = ("partner", "category", "subid")
LARGEST = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Limit:
    """What one scope (``category:16001``) may bring in a day of the buyer's. None: no limit."""

    scope: str
    pings: int | None = None
    sales: int | None = None
    payouts_micros: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """All limits, by scope."""

    by_scope: dict[str, Limit]

    def of(self, scopes: Iterable[str]) -> tuple[Limit, ...]:
        """Give those that a lead of these scopes is held to, always in the same order."""
        return tuple(self.by_scope[scope] for scope in sorted(scopes) if scope in self.by_scope)


NO_LIMITS = Limits({})


def read_limits(lines: Iterable[str]) -> Limits:
    """Read CSV with a header, ``scope,pings,sales,payouts``: an empty cell or a missing column is no limit.

    Raises:
        ValueError: naming the line and the column.
    """
    rows = csv.reader(lines)
    header = [name.strip() for name in next(rows, [])]
    if "scope" not in header or len(set(header)) < len(header) or not set(header) <= set(COLUMNS):
        raise ValueError(f"the header must be `scope` and some of {', '.join(COLUMNS[1:])}")
    found: dict[str, Limit] = {}
    for limit, line in _each(rows, header):
        if limit.scope in found:
            raise ValueError(f"line {line}: {limit.scope} stands twice")
        found[limit.scope] = limit
    return Limits(found)


def _each(rows: Iterator[Sequence[str]], header: Sequence[str]) -> Iterator[tuple[Limit, int]]:
    for line, row in enumerate(rows, 2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(header):
            raise ValueError(f"line {line}: {len(row)} cells under {len(header)} columns")
        cells = dict(zip(header, (cell.strip() for cell in row), strict=True))
        try:
            yield (
                Limit(
                    _scope(cells["scope"]),
                    _whole("pings", cells),
                    _whole("sales", cells),
                    _dollars("payouts", cells),
                ),
                line,
            )
        except ValueError as wrong:
            raise ValueError(f"line {line}: {wrong}") from None


def _scope(text: str) -> str:
    kind, _, member = text.partition(":")
    if kind not in KINDS or not member or (kind == "category" and not (member.isascii() and member.isdecimal())):
        raise ValueError("scope: must be partner:ID, category:NUMBER or subid:NAME")
    return f"category:{int(member)}" if kind == "category" else text


def _whole(name: str, cells: dict[str, str]) -> int | None:
    text = cells.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and int(text) <= LARGEST):
        raise ValueError(f"{name}: must be a whole number up to {LARGEST}")
    return int(text)


def _dollars(name: str, cells: dict[str, str]) -> int | None:
    text = cells.get(name, "")
    if not text:
        return None
    try:
        amount = Decimal(text) if text.isascii() else Decimal("NaN")
    except InvalidOperation:
        amount = Decimal("NaN")
    if not (amount.is_finite() and 0 <= amount <= LARGEST and amount == round(amount, 6)):
        raise ValueError(f"{name}: must be dollars up to {LARGEST}, with at most six decimals")
    return int(amount.scaleb(6))

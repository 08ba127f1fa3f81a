"""Dollars, exact to a millionth.

A price is never a float. Inside it is a whole number of micro-dollars, which every database keeps exactly; outside it
is a decimal string of dollars with at least two places.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation
from typing import Self

MICROS = 1_000_000
LARGEST = 100_000 * MICROS
_MICRO = Decimal("0.000001")
# The context at hand would round a 29th digit away in silence; this one refuses to lose any.
_EXACT = Context(prec=16, traps=[Inexact, InvalidOperation])
_PRICE = re.compile(r"\$?\s?(\d{1,6})(?:\.(\d{1,6}))?(?:\s?(?:USD|\$))?", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Money:
    """An amount of dollars, at least 0 and at most 100,000, in `micros` (millionths)."""

    micros: int

    def __post_init__(self) -> None:
        if not 0 <= self.micros <= LARGEST:
            raise ValueError("an amount is between 0 and 100000 dollars")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a price such as ``12.5``, ``$0.15`` or ``9.00 USD``.

        Raises:
            ValueError: anything else: signs, exponents, thousands separators, more than six decimals, or over 100,000.
        """
        found = _PRICE.fullmatch(text.strip())
        if found is None:
            raise ValueError("not an amount of dollars")
        whole, fraction = found.groups(default="")
        return cls(int(whole) * MICROS + int(fraction.ljust(6, "0")))

    @classmethod
    def of(cls, amount: Decimal) -> Self:
        """Take an exact decimal.

        Raises:
            ValueError: not finite, negative, too large, or with more than six decimals.
        """
        if not amount.is_finite() or not 0 <= amount <= LARGEST // MICROS:
            raise ValueError("an amount is between 0 and 100000 dollars")
        try:
            exact = amount.quantize(_MICRO, context=_EXACT)
        except DecimalException:
            raise ValueError("an amount has at most six decimals") from None
        return cls(int(exact.scaleb(6, _EXACT)))

    def __str__(self) -> str:
        """Give dollars as a decimal string: at least two decimals, no more than are needed (``12.50``, ``0.125``)."""
        return dollars(self.micros)


def dollars(micros: int) -> str:
    """Write any whole number of micro-dollars, such as a sum or a difference, as dollars (`Money.__str__`)."""
    whole, fraction = divmod(abs(micros), MICROS)
    sign = "-" if micros < 0 else ""
    return f"{sign}{whole}.{f'{fraction:06d}'.rstrip('0').ljust(2, '0')}"

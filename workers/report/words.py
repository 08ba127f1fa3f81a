"""Numbers as people read them."""

from __future__ import annotations

from typing import Final

from tasks.core.money import dollars

NOTHING: Final = "\N{EN DASH}"
MINUS: Final = "\N{MINUS SIGN}"  # as wide as a digit


def amount(micros: int) -> str:
    """Write micro-dollars exactly, thousands apart: ``1,234.50``."""
    whole, _, cents = dollars(abs(micros)).partition(".")
    return f"{MINUS if micros < 0 else ''}{int(whole):,}.{cents}"


def price(micros: int) -> str:
    """Write an amount with the dollar's sign, which no line breaks off: ``$ 1,234.50``; a minus stands before it."""
    return f"{MINUS if micros < 0 else ''}$\N{NO-BREAK SPACE}{amount(abs(micros))}"


def counted(number: int, thing: str, things: str = "") -> str:
    """Write ``1 lead``, ``1,200 leads``."""
    return f"{number:,} {thing if number == 1 else things or f'{thing}s'}"


def rate(part: float, whole: float = 1) -> str:
    """Write a part of a whole in percent; a dash where there is no whole."""
    return f"{part / whole:.1%}" if whole else NOTHING

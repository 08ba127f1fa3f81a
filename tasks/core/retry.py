"""How long a step waits before it is taken again. Seconds everywhere; chance is handed in as a number from 0 to 1."""

from __future__ import annotations

FIRST_S = 0.2
LONGEST_S = 4.0
SHORTEST_S = 0.1


def backoff(attempt: int, chance: float) -> float:
    """Double from 0.2 s to 4 s with each attempt (from 1), then take a random part between a half and the whole of it.

    The half that is certain spares a buyer in trouble a burst; the half that is not keeps leads from marching in step.
    """
    whole = min(LONGEST_S, FIRST_S * 2.0 ** min(attempt - 1, 16))
    return whole * (0.5 + 0.5 * chance)


def delay(attempt: int, remaining_s: float, chance: float, retry_after_s: float | None = None) -> float:
    """Give the seconds until the next try: the buyer's own wish if it has one, between 0.1 s and what remains."""
    wish = backoff(attempt, chance) if retry_after_s is None else retry_after_s
    return max(SHORTEST_S, min(wish, remaining_s))

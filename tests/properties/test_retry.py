from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tasks.core.retry import FIRST_S, LONGEST_S, SHORTEST_S, backoff, delay

attempts = st.integers(1, 10**9)
chances = st.floats(0, 1)


@given(attempts, chances)
def test_a_backoff_stays_between_half_the_first_wait_and_the_longest(attempt: int, chance: float) -> None:
    assert FIRST_S / 2 <= backoff(attempt, chance) <= LONGEST_S


@given(attempts, attempts, chances)
def test_a_later_attempt_never_waits_less(one: int, other: int, chance: float) -> None:
    earlier, later = sorted((one, other))
    assert backoff(earlier, chance) <= backoff(later, chance)


@given(attempts, st.floats(-60, 3600), chances, st.none() | st.floats())
def test_no_wish_of_the_buyer_s_leads_out_of_bounds(
    attempt: int, remaining_s: float, chance: float, retry_after_s: float | None
) -> None:
    assert SHORTEST_S <= delay(attempt, remaining_s, chance, retry_after_s) <= max(SHORTEST_S, remaining_s)


@given(attempts, chances, st.floats(SHORTEST_S, 3600))
def test_a_wish_within_bounds_is_kept_exactly(attempt: int, chance: float, wish_s: float) -> None:
    assert delay(attempt, 3600, chance, wish_s) == wish_s

"""Where a fact may stand: what was found out once of a place is remembered, and never without end."""

from __future__ import annotations

from tasks.buyers.mapping import MOST_KNOWN, AnswerMapping


def test_a_buyer_that_makes_up_names_fills_no_memory(mapping: AnswerMapping) -> None:
    first = mapping.facts_at(("price",))
    for number in range(2 * MOST_KNOWN):
        assert mapping.facts_at((f"made up {number}",)) == ((), ())
    assert len(mapping._known) == MOST_KNOWN
    assert mapping.facts_at(("price",)) == first == ((), ("price",))
    assert mapping.facts_at(("late", "price")) == ((), ("price",))

"""Where a fact may stand: what was found out once of a place is remembered, and nothing that is a stranger's."""

from __future__ import annotations

from tasks.buyers.mapping import AnswerMapping


def test_only_places_that_the_mapping_names_are_remembered(mapping: AnswerMapping) -> None:
    """A buyer may make up names without end, and an error may stand under the caller's own."""
    for path in [("price",), ("late", "price"), ("zoe@example.org",), ("errors", "zoe@example.org"), ()]:
        assert mapping.facts_at(path) == ((), ("price",) if path[-1:] == ("price",) else ())
    assert ("price",) in mapping._known
    known = {name for path in mapping._known for name in path}
    assert known <= set(mapping.names) | {name for path in mapping.paths for name in path}

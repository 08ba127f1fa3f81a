"""The comparison of the four books: it is silent on a clean run, and finds each broken promise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from tests.chaos.books import Books, Entry, compare

PRICE = Decimal("9.50")
OUTCOME = {"lead_id": "a", "status": "sold", "token": "t"}
SALE = {"customid": "a", "token": "t", "price": "9.50"}
CALL = {"event": "buyer.call", "lead_id": "a", "token": "t", "price": "9.50"}
TOLD = {"event": "lead.outcome", "lead_id": "a", "status": "sold"}
SOLD = Entry("sold", "t", PRICE, posted_at=100.0)
CLEAN = Books(
    accepted=frozenset({"a"}),
    heard={"a": [OUTCOME, {**OUTCOME, "late": True, "replayed": True}]},
    leads={"a": SOLD},
    attempts=[("a", "t", PRICE)],
    lines=[CALL, TOLD],
    log_text="{}",
    sales=[SALE],
    secrets=["Hildegard"],
)
UNKNOWN = replace(
    CLEAN,
    leads={"a": replace(SOLD, status="unknown")},
    heard={"a": [{**OUTCOME, "status": "unknown"}]},
    lines=[CALL, {**TOLD, "status": "unknown"}],
)


def _rules(books: Books) -> list[str]:
    return [violation.rule for violation in compare(books).violations]


def test_a_clean_run_has_no_violations():
    """Repeats that differ in `late` and `replayed` alone are the same outcome."""
    assert _rules(CLEAN) == []
    assert compare(CLEAN).statuses == {"sold": 1}


@pytest.mark.parametrize(
    ("books", "rule"),
    [
        (replace(CLEAN, accepted=frozenset({"a", "b"})), "accepted, and without an outcome"),
        (replace(CLEAN, leads={"a": replace(SOLD, told=False)}), "an outcome is not marked told"),
        (replace(CLEAN, heard={}), "an outcome was not told"),
        (replace(CLEAN, heard={"a": [OUTCOME, {**OUTCOME, "price": "1"}]}), "two different outcomes"),
        (replace(CLEAN, heard={"a": [{**OUTCOME, "status": "failed"}]}), "told otherwise than the ledger has it"),
        (replace(CLEAN, sales=[SALE, SALE]), "sold twice"),
        (replace(CLEAN, doubles=[SALE]), "posted again after a sale"),
        (
            replace(CLEAN, leads={"a": replace(SOLD, status="expired")}),
            "a sale that is neither sold nor unknown in ours",
        ),
        (replace(CLEAN, sales=[{**SALE, "token": "u"}]), "another token than the buyer's"),
        (replace(CLEAN, sales=[{**SALE, "price": "9.51"}]), "another price than the buyer's"),
        (replace(CLEAN, sales=[{**SALE, "price": "9"}]), "the payouts differ: 9.50 here, 9 at the buyer"),
        (replace(CLEAN, sales=[]), "sold, and the buyer does not know"),
        (replace(CLEAN, lines=[TOLD]), "a token without a log line"),
        (replace(CLEAN, lines=[TOLD]), "a price without a log line"),
        (replace(CLEAN, attempts=[("a", "older", None)]), "a token without a log line"),
        (replace(CLEAN, lines=[CALL]), "an outcome without a log line"),
        (replace(CLEAN, log_text="it was Hildegard"), "secret 0 stands in the log"),
        (UNKNOWN, "an unknown that nothing explains"),
        (replace(UNKNOWN, interruptions=[98.0, 120.0]), "an unknown that nothing explains"),
    ],
)
def test_each_broken_promise_is_found(books: Books, rule: str):
    """Books that break one promise are told so, by its name."""
    assert rule in _rules(books)


@pytest.mark.parametrize(
    ("explain", "cause"),
    [
        (lambda: replace(UNKNOWN, interruptions=[104.0]), "in flight at a kill"),
        (
            lambda: replace(UNKNOWN, calls=[{"call": "post", "customid": "", "token": "t", "fault": "hang"}]),
            "unread answer: hang",
        ),
    ],
)
def test_an_unknown_is_explained_by_a_kill_in_its_call_or_by_the_buyers_fault(explain: Callable[[], Books], cause: str):
    """A sale that is unknown here is no violation where its cause is known, and the cause is counted."""
    findings = compare(explain())
    assert (findings.violations, findings.unknown) == ((), {cause: 1})


@pytest.mark.parametrize(
    ("reason", "explained"),
    [
        ("a post was begun and its answer never came; the lead may be sold", "in flight at a kill"),
        ("no answer to a post that was sent (connection reset); the lead may be sold", "unread answer: reset"),
    ],
)
def test_an_unknown_is_explained_by_what_the_ledger_gives_as_its_reason(reason: str, explained: str):
    """A kill explains no answer that could not be read, and a fault of the buyer's no worker that died."""
    told = {"customid": "a", "token": "t", "call": "post"}
    both = replace(
        UNKNOWN,
        leads={"a": replace(SOLD, status="unknown", reason=reason)},
        interruptions=[100.5],
        calls=[{**told, "fault": "reset"}],
    )
    assert dict(compare(both).unknown) == {explained: 1}
    neither = replace(both, interruptions=[], calls=[{**told, "fault": None}])
    assert dict(compare(neither).unknown) == {"unexplained": 1}

"""The ledger's side of a statement: which leads are looked at, as what, and what a statement settles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, select

from tasks.core.callreport import CallReport
from tasks.core.money import Money
from tasks.core.payout import Loss, Standing
from tasks.core.reconciliation import Claim, Entry, Settlement
from tasks.ledger import Ledger, settlements
from tasks.ledger.rows import to_ms
from tasks.ledger.schema import settlements as table
from tests.ledger.books import NOON, PRICE, ended, put
from tests.ledger.stories import at_once, columns, without_faults

SEC = timedelta(seconds=1)


def entry(lead_id: str, claim: Claim = Claim.SOLD, status: str = "sold", **facts: Any) -> Entry:
    plain = Entry(lead_id, lead_id, f"token-{lead_id}", claim, PRICE, NOON - 2 * SEC, NOON, status)
    return replace(plain, **facts)


def named(ledger: Ledger, *, tokens: tuple[str, ...] = (), customids: tuple[str, ...] = ()) -> list[Entry]:
    found = ledger.read(lambda connection: settlements.named(connection, tokens, customids))
    return sorted(found, key=lambda it: it.lead_id)  # a database gives rows in any order


def in_period(ledger: Ledger, begins: datetime = NOON, ends: datetime = NOON + SEC) -> list[Entry]:
    found = ledger.read(lambda connection: settlements.ended(connection, to_ms(begins), to_ms(ends)))
    return sorted(found, key=lambda it: it.lead_id)  # a database gives rows in any order


def settle(ledger: Ledger, *found: Settlement, statement: str = "nov.csv") -> int:
    return ledger.write(lambda connection: settlements.settle(connection, found, statement))


def settled(ledger: Ledger, lead_id: str = "U") -> list[tuple[Any, ...]]:
    c = table.c
    found = select(c.statement, c.sold, c.price, c.token, c.counts).where(c.lead_id == lead_id).order_by(c.id)
    return ledger.read(lambda connection: [tuple(row) for row in connection.execute(found)])


def test_of_a_period_only_what_the_buyer_may_owe_for_is_looked_at(ledger: Ledger):
    """Sold, unknown, withheld; the first moment is in it and the last is not; a test never is."""
    put(
        ledger,
        ended("S"),
        ended("U", "unknown"),
        ended("W", "rejected", price_confirmed=1_000_000),
        *(ended(f"N-{status}", status) for status in ("rejected", "capped", "expired", "blocked", "failed")),
        ended("T", test=True),
        ended("before", at=NOON - timedelta(milliseconds=1)),
        ended("after", at=NOON + SEC),
    )
    assert in_period(ledger) == [
        entry("S"),
        entry("U", Claim.UNKNOWN, "unknown"),
        entry("W", Claim.WITHHELD, "rejected", price=Money(1_000_000)),
    ]


def test_what_a_statement_names_is_found_whatever_became_of_it(ledger: Ledger):
    open_ = ended("O", "received") | {"status": None, "ended_at": None}
    put(
        ledger,
        ended("S"),
        ended("N", "expired", customid="mine"),
        open_ | {"customid": "S"},
        ended("T", test=True),
        ended("other"),
    )
    assert named(ledger, tokens=("token-S", "?"), customids=("mine",)) == [
        entry("N", Claim.NONE, "expired", customid="mine"),
        entry("S"),
    ]
    still = entry("O", Claim.NONE, "received, without an outcome yet", customid="S", ended_at=None)
    assert named(ledger, customids=("S",)) == [still, entry("S")]
    assert named(ledger, customids=("T",)) == [entry("T", Claim.NONE, "sold, in test mode")]
    assert named(ledger) == []


def test_more_names_than_one_statement_takes_are_all_found(ledger: Ledger):
    names = [f"L{number}" for number in range(settlements.AT_ONCE + 3)]
    put(ledger, *(ended(name) for name in names))
    assert {it.lead_id for it in named(ledger, tokens=tuple(f"token-{name}" for name in names))} == set(names)
    assert {it.lead_id for it in named(ledger, customids=tuple(names))} == set(names)


def test_a_lead_is_owed_its_confirmed_price_else_the_quoted_or_the_agreed_one(ledger: Ledger):
    put(
        ledger,
        ended("A", price_confirmed=11_000_000),
        ended("B", call="direct_post", price_quoted=None, offered_price=500_000),
        ended("C", call="one_step", price_quoted=None, token=None),
    )
    assert [(it.price, it.token) for it in in_period(ledger)] == [
        (Money(11_000_000), "token-A"),
        (Money(500_000), "token-B"),
        (None, None),
    ]


def test_the_report_that_counts_tells_how_the_payout_stands(ledger: Ledger):
    put(ledger, ended("A"), ended("B"))
    ledger.keep_reports([CallReport("A", NOON, 60_000), CallReport("B", NOON, 60_000), CallReport("B", None, 0)])
    assert in_period(ledger) == [
        entry("A", payout=Standing.DUE),
        entry("B", payout=Standing.LOST, why=Loss.NOT_FORWARDED),
    ]


SOLD = Settlement("U", True, Money.parse("9"), "new")


def test_a_settled_lead_is_owed_what_the_statement_says_and_its_outcome_stays(ledger: Ledger):
    put(ledger, ended("U", "unknown", token=None))
    before = columns(ledger, "U")
    assert settle(ledger, SOLD) == 1
    assert in_period(ledger) == [entry("U", status="unknown", token="new", price=Money.parse("9"), settled=True)]
    assert columns(ledger, "U") == before


def test_settled_again_it_is_the_same_and_a_later_statement_corrects_it(ledger: Ledger):
    """Not sold is what a statement says that has not the lead; one that has it knows better, before and after."""
    put(ledger, ended("U", "unknown"))
    not_sold = Settlement("U", sold=False)
    said = [settle(ledger, it) for it in (not_sold, not_sold, SOLD, SOLD, not_sold)]
    assert said == [1, 0, 1, 0, 0]
    assert settle(ledger, replace(SOLD, price=Money.parse("10")), statement="dec.csv") == 1
    assert settled(ledger) == [
        ("nov.csv", False, None, None, False),
        ("nov.csv", True, 9_000_000, "new", False),
        ("dec.csv", True, 10_000_000, "new", True),
    ]
    assert in_period(ledger)[0].claim is Claim.SOLD


def test_a_lead_settled_as_not_sold_is_an_unknown_one_still(ledger: Ledger):
    put(ledger, ended("U", "unknown"))
    settle(ledger, Settlement("U", sold=False))
    assert in_period(ledger) == [entry("U", Claim.UNKNOWN, "unknown", settled=True)]


def test_only_unknown_leads_are_settled(ledger: Ledger):
    put(ledger, ended("S"), ended("N", "rejected"))
    assert settle(ledger, *(replace(SOLD, lead_id=name) for name in ("S", "N", "nobody"))) == 0
    assert settle(ledger) == 0
    assert settled(ledger, "S") == settled(ledger, "N") == []


def test_of_two_who_settle_a_lead_at_once_one_says_something_new(ledger: Ledger, open_ledger: Callable[[], Ledger]):
    put(ledger, *(ended(f"U{number}", "unknown") for number in range(20)))
    found = [replace(SOLD, lead_id=f"U{number}") for number in range(20)]
    others = [open_ledger() for _ in range(4)]
    numbers = without_faults(at_once([lambda it=it: settle(it, *found) for it in others]))
    assert sorted(numbers) == [0, 0, 0, 20]


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_names_are_looked_up_by_indexes(ledger: Ledger):
    """A statement of a hundred thousand rows must not read all leads two hundred times."""
    asked = []
    named(ledger)

    @event.listens_for(ledger.engine, "before_cursor_execute")
    def remember(_connection, _cursor, statement, parameters, *_rest):
        if " IN (" in statement:
            asked.append((statement, parameters))

    many = tuple(f"name-{number}" for number in range(settlements.AT_ONCE))
    named(ledger, tokens=many, customids=many)
    with ledger.engine.connect() as connection:
        plans = [str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", args).all()) for sql, args in list(asked)]
    assert len(plans) == 3
    for plan, index in zip(plans, ("ix_leads_token", "leads_1", "ix_leads_own_customid"), strict=True):
        assert index in plan
        assert "SCAN" not in plan


def test_a_token_of_any_length_and_script_is_kept(ledger: Ledger):
    put(ledger, ended("U", "unknown"))
    assert settle(ledger, replace(SOLD, token="ü" * 300)) == 1
    assert settle(ledger, replace(SOLD, token="ü" * 300)) == 0
    assert settled(ledger)[0][3] == "ü" * 255

"""A statement held against leads: each kind of difference, and what is none."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasks.core.money import Money
from tasks.core.payout import Loss, Standing
from tasks.core.reconciliation import Claim, Entry, Kind, Row, Settlement, compare, settle

AT = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)
PRICE = Money.parse("12.50")
NOTHING = Money(0)


def lead(name: str = "1", claim: Claim = Claim.SOLD, **facts: Any) -> Entry:
    entry = Entry(f"L{name}", f"L{name}", f"T{name}", claim, PRICE, AT, AT + timedelta(seconds=2), str(claim))
    return replace(entry, **facts)


def row(
    line: int = 2, token: str | None = "T1", customid: str | None = None, price: Money = PRICE, **facts: Any
) -> Row:
    return Row(line, token, customid, price, **facts)


def found(rows: list[Row], leads: list[Entry]) -> list[tuple[Kind, int | None, str | None]]:
    """What was found: kind, line, lead."""
    findings = compare(rows, leads).findings
    return [(it.kind, it.row.line if it.row else None, it.entry.lead_id if it.entry else None) for it in findings]


DUE, LOST = Standing.DUE, Standing.LOST


@pytest.mark.parametrize(
    ("facts", "listed", "at_nothing", "unlisted"),
    [
        ({"payout": DUE}, None, Kind.DUE_UNPAID, Kind.DUE_UNPAID),
        ({}, None, Kind.OTHER_PRICE, Kind.MISSING_IN_STATEMENT),
        ({"payout": LOST, "why": Loss.TOO_SHORT}, Kind.LOST_PAID, None, None),
        ({"claim": Claim.UNKNOWN}, Kind.UNKNOWN_SOLD, Kind.UNKNOWN_SOLD, None),
        ({"claim": Claim.WITHHELD}, Kind.WITHHELD_SOLD, None, None),
        ({"claim": Claim.NONE, "status": "expired"}, Kind.MISSING_IN_LEDGER, Kind.MISSING_IN_LEDGER, None),
        ({"payout": DUE, "price": None}, None, Kind.DUE_UNPAID, Kind.DUE_UNPAID),
        ({"price": None}, None, None, Kind.MISSING_IN_STATEMENT),
    ],
)
def test_what_follows_from_how_the_ledger_has_a_lead(
    facts: dict[str, Any], listed: Kind | None, at_nothing: Kind | None, unlisted: Kind | None
) -> None:
    """The table of the module: in the statement at its price, at 0.00, and not in it."""
    entry = lead(**facts)
    assert found([row()], [entry]) == ([(listed, 2, "L1")] if listed else [])
    assert found([row(price=NOTHING)], [entry]) == ([(at_nothing, 2, "L1")] if at_nothing else [])
    assert found([], [entry]) == ([(unlisted, None, "L1")] if unlisted else [])


@pytest.mark.parametrize("payout", [Standing.OPEN, DUE])
def test_another_price_is_one_whether_more_or_less(payout: Standing) -> None:
    for price in ("12.49", "12.51"):
        assert found([row(price=Money.parse(price))], [lead(payout=payout)]) == [(Kind.OTHER_PRICE, 2, "L1")]


def test_a_row_that_no_lead_is_known_for_is_missing_and_its_second_is_a_double() -> None:
    rows = [row(2, "T9"), row(3, "T9"), row(4, None, "T9"), row(5, None, "T9")]
    assert found(rows, [lead()])[:4] == [
        (Kind.MISSING_IN_LEDGER, 2, None),
        (Kind.DOUBLE_IN_STATEMENT, 3, None),
        (Kind.MISSING_IN_LEDGER, 4, None),
        (Kind.DOUBLE_IN_STATEMENT, 5, None),
    ]


def test_a_lead_is_known_by_its_token_else_by_its_customid() -> None:
    leads = [lead("1"), lead("2", token=None), lead("3", customid="mine")]
    assert found([row(2, "T1", "L2"), row(3, "?", "L2"), row(4, None, "mine")], leads) == []


def test_two_rows_for_one_lead_are_a_double_and_the_likelier_one_is_the_lead_s() -> None:
    rows = [row(2, price=Money.parse("9")), row(3), row(4)]
    comparison = compare(rows, [lead()])
    assert [(it.kind, it.row and it.row.line, it.detail) for it in comparison.findings] == [
        (Kind.DOUBLE_IN_STATEMENT, 2, "line 3 means the same lead"),
        (Kind.DOUBLE_IN_STATEMENT, 4, "line 3 means the same lead"),
    ]


def test_a_row_by_customid_for_a_lead_that_a_token_has_named_is_a_double() -> None:
    assert found([row(2, None, "L1"), row(3)], [lead()]) == [(Kind.DOUBLE_IN_STATEMENT, 2, "L1")]


def test_two_leads_for_one_row_are_a_double_of_ours() -> None:
    same = [lead("1", payout=DUE), lead("2", token="T1", payout=DUE)]
    comparison = compare([row()], same)
    assert [(it.kind, it.entry and it.entry.lead_id) for it in comparison.findings] == [(Kind.DOUBLE_IN_LEDGER, "L2")]
    assert "token" in comparison.findings[0].detail
    assert found([row(2), row(3)], same) == []
    assert [kind for kind, *_ in found([], same)] == [Kind.DUE_UNPAID] * 2


def test_of_leads_that_share_a_customid_each_row_takes_the_likeliest() -> None:
    """A sale before one that may be, one that pays before one that does not, the same price before another."""
    shared = {"customid": "X", "token": None}
    lost = lead("1", payout=LOST, why=Loss.TOO_LATE, **shared)
    unknown = lead("2", Claim.UNKNOWN, **shared)
    dear = lead("3", price=Money.parse("20"), **shared)
    sold = lead("4", **shared)
    everyone = [lost, unknown, dear, sold, lead("5", Claim.NONE, status="expired", **shared)]
    by_customid = [row(2, None, "X"), row(3, None, "X", Money.parse("20"))]
    assert found(by_customid, everyone) == []
    assert found(by_customid[:1], everyone) == [(Kind.DOUBLE_IN_LEDGER, None, "L3")]
    assert found([*by_customid, row(4, None, "X")], everyone) == [(Kind.LOST_PAID, 4, "L1")]


def test_of_leads_that_share_a_token_the_row_s_customid_tells_which_is_meant() -> None:
    leads = [lead("1", price=Money.parse("9")), lead("2", token="T1")]
    rows = [row(2, "T1", "L2", Money.parse("9")), row(3, "T1", "L1", Money.parse("9"))]
    assert found(rows, leads) == [(Kind.OTHER_PRICE, 2, "L2")]


def test_outside_the_period_nothing_is_reported_and_everything_is_known() -> None:
    """A sale near midnight may stand on the next day's statement; a year's statement may be looked at by the month."""
    far = {"in_period": False}
    assert found([row(2, "T9", **far), row(3, **far), row(4, **far)], [lead(**far), lead("2", **far)]) == []
    assert found([row(2, **far)], [lead(payout=DUE)]) == []
    assert found([row(2)], [lead(payout=DUE, **far)]) == []
    assert found([row(2, price=NOTHING)], [lead(payout=DUE, **far)]) == [(Kind.DUE_UNPAID, 2, "L1")]
    assert found([row(2, price=NOTHING, **far)], [lead(payout=DUE)]) == [(Kind.DUE_UNPAID, 2, "L1")]
    this, other = lead("1", customid="X", token=None), lead("2", customid="X", token=None, **far)
    assert found([row(2, None, "X")], [other, this]) == []


def test_differences_stand_in_the_order_of_lines_and_then_of_leads() -> None:
    assert [line or name for _, line, name in found([row(7, "T8"), row(3, "T9")], [lead("2"), lead("1")])] == [
        3,
        7,
        "L1",
        "L2",
    ]


HOUR = timedelta(hours=1)
DAY = (AT - HOUR, AT + HOUR)


def test_an_unknown_lead_is_settled_by_a_statement_that_has_it() -> None:
    """With the statement's price; its token where it tells one. Settled before, it is said again."""
    leads = [
        lead("1", Claim.UNKNOWN),
        lead("2", Claim.UNKNOWN, token=None),
        lead("3", settled=True),
        lead("4"),
        lead("5", Claim.UNKNOWN, in_period=False),
    ]
    price = Money.parse("11")
    rows = [row(2, price=price), row(3, "new", "L2"), row(4, "T3"), row(5, "T4"), row(6, "T5", in_period=False)]
    assert sorted(settle(compare(rows, leads), None), key=lambda it: it.lead_id) == [
        Settlement("L1", True, price, "T1"),
        Settlement("L2", True, PRICE, "new"),
        Settlement("L3", True, PRICE, "T3"),
    ]


@pytest.mark.parametrize(
    ("covered", "facts", "settled"),
    [
        (DAY, {}, True),
        (None, {}, False),
        (DAY, {"received_at": AT - HOUR - HOUR}, False),
        (DAY, {"ended_at": AT + HOUR + HOUR}, False),
        (DAY, {"in_period": False}, False),
        (DAY, {"claim": Claim.SOLD}, False),
        (DAY, {"claim": Claim.WITHHELD}, False),
        (DAY, {"claim": Claim.SOLD, "settled": True}, False),
    ],
)
def test_an_unknown_lead_is_settled_as_not_sold_only_inside_what_the_statement_covers(
    covered: tuple[datetime, datetime] | None, facts: dict[str, Any], settled: bool
) -> None:
    entry = lead(**{"claim": Claim.UNKNOWN} | facts)
    assert settle(compare([], [entry]), covered) == ([Settlement("L1", sold=False)] if settled else [])


def test_an_unknown_lead_whose_customid_another_row_has_is_left_open() -> None:
    """Nobody can tell which of the two the buyer means."""
    leads = [lead("1", customid="X", token=None), lead("2", Claim.UNKNOWN, customid="X", token=None)]
    assert settle(compare([row(2, None, "X")], leads), DAY) == []

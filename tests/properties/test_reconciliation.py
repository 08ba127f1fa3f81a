"""Whatever is wrong with a statement is found, once and as what it is, and nothing else is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from tasks.core.money import Money
from tasks.core.payout import Loss, Standing
from tasks.core.reconciliation import Claim, Entry, Kind, Row, compare, settle

AT = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)
NAMES = ("token", "customid", "both")
DUE, LOST = {"payout": Standing.DUE}, {"payout": Standing.LOST, "why": Loss.TOO_LATE}
UNKNOWN, WITHHELD, UNSOLD = {"claim": Claim.UNKNOWN}, {"claim": Claim.WITHHELD}, {"claim": Claim.NONE}

# What the ledger has of a lead, at which prices rows stand for it (None: its own), and what must be found.
CASES: Sequence[tuple[dict[str, object] | None, list[str | None], list[Kind]]] = [
    (DUE, [None], []),
    ({}, [None], []),
    (LOST, [], []),
    (LOST, ["0"], []),
    (UNKNOWN, [], []),
    (WITHHELD, [], []),
    (WITHHELD, ["0"], []),
    (UNSOLD, [], []),
    ({"settled": True}, [None], []),
    (None, [None], [Kind.MISSING_IN_LEDGER]),
    (UNSOLD, [None], [Kind.MISSING_IN_LEDGER]),
    ({}, [], [Kind.MISSING_IN_STATEMENT]),
    ({"settled": True}, [], [Kind.MISSING_IN_STATEMENT]),
    (DUE, [], [Kind.DUE_UNPAID]),
    (DUE, ["0"], [Kind.DUE_UNPAID]),
    (DUE, ["0.01"], [Kind.OTHER_PRICE]),
    ({}, ["99999"], [Kind.OTHER_PRICE]),
    (LOST, [None], [Kind.LOST_PAID]),
    (UNKNOWN, [None], [Kind.UNKNOWN_SOLD]),
    (UNKNOWN, ["0"], [Kind.UNKNOWN_SOLD]),
    (WITHHELD, ["0.01"], [Kind.WITHHELD_SOLD]),
    (DUE, [None, None], [Kind.DOUBLE_IN_STATEMENT]),
    ({}, [None, "0.01", None], [Kind.DOUBLE_IN_STATEMENT] * 2),
    (UNKNOWN, [None, None], [Kind.UNKNOWN_SOLD, Kind.DOUBLE_IN_STATEMENT]),
    (LOST, [None, None], [Kind.LOST_PAID, Kind.DOUBLE_IN_STATEMENT]),
    (None, [None, None], [Kind.MISSING_IN_LEDGER, Kind.DOUBLE_IN_STATEMENT]),
]
# A lead sold twice, which the buyer lists once, or twice.
TWINS: Sequence[tuple[list[str | None], list[Kind]]] = [([None], [Kind.DOUBLE_IN_LEDGER]), ([None, None], [])]

stories = st.tuples(
    st.integers(0, len(CASES) + len(TWINS) - 1),
    st.sampled_from(NAMES),
    st.integers(20_000, 50_000_000).map(Money),
    st.sampled_from(["both", "both", "both", "neither"]),
)


@given(st.lists(stories, max_size=25), st.randoms(use_true_random=False))
def test_the_differences_are_the_seeded_faults(drawn, random) -> None:
    """By token, by customid or by both; in any order; and none of what lies outside the period on both sides."""
    leads: list[Entry] = []
    rows: list[tuple[int, Row]] = []
    faults: Counter[tuple[Kind, int]] = Counter()
    for number, (case, name, price, where) in enumerate(drawn):
        inside = where == "both"
        entry = Entry(f"L{number}", f"C{number}", f"T{number}", Claim.SOLD, price, AT, AT, "sold", in_period=inside)
        if case < len(CASES):
            facts, prices, kinds = CASES[case]
            leads += [] if facts is None else [replace(entry, **facts)]
        else:
            prices, kinds = TWINS[case - len(CASES)]
            leads += [entry, replace(entry, lead_id=f"L{number}.again")]
        token, customid = name != "customid" and f"T{number}", name != "token" and f"C{number}"
        for told in prices:
            paid = price if told is None else Money.parse(told)
            rows.append((number, Row(0, token or None, customid or None, paid, in_period=inside)))
        if inside:
            faults.update((kind, number) for kind in kinds)
    random.shuffle(leads)
    random.shuffle(rows)
    whose = {line: number for line, (number, _) in enumerate(rows, 2)}

    comparison = compare([replace(row, line=line) for line, (_, row) in enumerate(rows, 2)], leads)

    found = Counter(
        (it.kind, whose[it.row.line] if it.row else int(it.entry.lead_id[1:].partition(".")[0]))
        for it in comparison.findings
    )
    assert found == faults
    settled = Counter(settlement.sold for settlement in settle(comparison, (AT, AT)))
    assert settled[True] == faults_of(faults, Kind.UNKNOWN_SOLD) + sum(
        1 for row, entry in comparison.pairs if entry.settled and row.in_period
    )
    unknown = sum(1 for entry in leads if entry.claim is Claim.UNKNOWN and entry.in_period)
    assert settled[False] == unknown - faults_of(faults, Kind.UNKNOWN_SOLD)


def faults_of(faults: Counter[tuple[Kind, int]], kind: Kind) -> int:
    return sum(count for (one, _), count in faults.items() if one is kind)


few = st.sampled_from(["a", "b", None])
odd_rows = st.builds(
    Row,
    line=st.integers(2, 99),
    token=few,
    customid=st.sampled_from(["a", "b", "c"]),
    price=st.sampled_from([Money(0), Money(1), Money(2)]),
    in_period=st.booleans(),
)
odd_leads = st.builds(
    Entry,
    lead_id=st.integers(0, 10**9).map(str),
    customid=st.sampled_from(["a", "b", "c"]),
    token=few,
    claim=st.sampled_from(Claim),
    price=st.none() | st.sampled_from([Money(1), Money(2)]),
    received_at=st.just(AT),
    ended_at=st.just(AT),
    status=st.just("sold"),
    in_period=st.booleans(),
    payout=st.sampled_from(Standing),
    why=st.sampled_from(Loss),
    settled=st.booleans(),
)


@given(
    st.lists(odd_rows, max_size=8, unique_by=lambda row: row.line),
    st.lists(odd_leads, max_size=8, unique_by=lambda entry: entry.lead_id),
)
def test_however_names_are_shared_each_row_and_each_lead_is_paired_and_told_of_once(rows, leads) -> None:
    comparison = compare(rows, leads)
    assert max(Counter(row.line for row, _ in comparison.pairs).values(), default=1) == 1
    assert max(Counter(entry.lead_id for _, entry in comparison.pairs).values(), default=1) == 1
    assert max(Counter(it.row.line for it in comparison.findings if it.row).values(), default=1) == 1
    lone = [it.entry.lead_id for it in comparison.findings if it.row is None and it.entry]
    assert not {entry.lead_id for _, entry in comparison.pairs} & set(lone)
    assert len(set(lone)) == len(lone)
    for row in rows:
        paired = any(other is row for other, _ in comparison.pairs)
        reported = any(it.row is row for it in comparison.findings)
        assert paired or reported or not row.in_period, "a row is never passed over"

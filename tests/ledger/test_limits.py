"""An operator's own daily limits: taken with the claim, given back where there was certainly no sale, never overrun."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tasks.core.limits import Limit
from tasks.core.money import Money
from tasks.core.outcome import Status
from tasks.core.protocol import Call
from tasks.core.states import State
from tasks.ledger import LeadRow, Ledger, Move
from tasks.ledger.limits import LimitReached, Take, Used
from tests.ledger.stories import AGAIN, SALE, at_once, bring, end, exchange, sold, standing, take_in

DAY = "2026-11-26"
CATEGORY = "category:16001"
PRICE = 12_500_000


def place(*limits: Limit, day: str = DAY, price: int = PRICE) -> Take:
    return Take(day, limits, sales=1, payouts_micros=price)


def post(ledger: Ledger, lead_id: str, take: Take) -> LeadRow | LimitReached | None:
    return ledger.claim(bring(ledger, State.BID, lead_id), Call.POST, 5_000, take)


def used(ledger: Ledger, scope: str = CATEGORY, day: str = DAY) -> Used:
    return ledger.limits_used(day).get(scope, Used(0, 0, 0, 0))


def test_the_last_place_is_the_last(ledger: Ledger):
    """The lead that finds none stays where it is, says which limit it met, and is counted."""
    take = place(Limit(CATEGORY, sales=2))
    assert isinstance(post(ledger, "L1", take), LeadRow)
    assert isinstance(post(ledger, "L2", take), LeadRow)
    refused = post(ledger, "L3", take)
    assert refused == LimitReached(CATEGORY, "our own limit of 2 sales a day (category:16001)")
    assert standing(ledger, "L3").state is State.BID
    assert used(ledger) == Used(0, 2, 2 * PRICE, 1)
    assert isinstance(post(ledger, "L4", place(Limit(CATEGORY, sales=2), day="2026-11-27")), LeadRow)


@pytest.mark.parametrize("status", [Status.REJECTED, Status.CAPPED, Status.BLOCKED])
def test_a_place_is_given_back_where_the_buyer_says_no(ledger: Ledger, status: Status):
    mine = post(ledger, "L1", place(Limit(CATEGORY, sales=1)))
    assert isinstance(mine, LeadRow)
    assert ledger.settle(mine, exchange(Call.POST, AGAIN), end(mine, status))
    assert used(ledger) == Used(0, 0, 0, 0)
    assert standing(ledger, "L1").taken is None


def test_a_post_that_is_to_be_repeated_gives_its_place_back_and_takes_one_anew(ledger: Ledger):
    take = place(Limit(CATEGORY, sales=1))
    mine = post(ledger, "L1", take)
    assert isinstance(mine, LeadRow)
    assert ledger.settle(mine, exchange(Call.POST, AGAIN), Move(State.BID))
    assert isinstance(post(ledger, "L2", take), LeadRow)
    assert isinstance(ledger.claim(standing(ledger, "L1"), Call.POST, 5_000, take), LimitReached)


@pytest.mark.parametrize("status", [Status.SOLD, Status.UNKNOWN])
def test_a_sale_and_what_may_be_one_keep_their_place(ledger: Ledger, status: Status):
    mine = post(ledger, "L1", place(Limit(CATEGORY, sales=1)))
    assert isinstance(mine, LeadRow)
    assert ledger.settle(mine, exchange(Call.POST, SALE), sold(mine) if status is Status.SOLD else end(mine, status))
    assert used(ledger) == Used(0, 1, PRICE, 0)


def test_a_sale_whose_number_is_withheld_keeps_its_place(ledger: Ledger):
    """A one-step sale under the floor is `rejected` here, and the buyer has bought it all the same."""
    take = place(Limit(CATEGORY, sales=1), price=0)
    mine = ledger.claim(take_in(ledger, "L1", Call.ONE_STEP), Call.ONE_STEP, 5_000, take)
    assert isinstance(mine, LeadRow)
    assert ledger.settle(mine, exchange(Call.ONE_STEP, SALE), end(mine, Status.REJECTED))
    assert used(ledger).sales == 1


def test_a_lead_that_comes_too_late_is_told_so_before_it_costs_anything(ledger: Ledger):
    take = place(Limit(CATEGORY, sales=1))
    assert ledger.limit_reached(take) is None
    assert isinstance(post(ledger, "L1", take), LeadRow)
    assert ledger.limit_reached(take) == LimitReached(CATEGORY, "our own limit of 1 sales a day (category:16001)")
    assert used(ledger).turned_away == 1


def test_a_place_is_given_back_once_however_often_the_answer_is_written(ledger: Ledger):
    mine = post(ledger, "L1", place(Limit(CATEGORY, sales=5)))
    assert isinstance(mine, LeadRow)
    assert isinstance(post(ledger, "L2", place(Limit(CATEGORY, sales=5))), LeadRow)
    for _ in range(2):
        assert ledger.settle(mine, exchange(Call.POST, AGAIN), end(mine))
    assert used(ledger).sales == 1


def test_all_limits_of_a_lead_are_taken_or_none(ledger: Ledger):
    """What was taken from the first is given back where the second has nothing left."""
    wide, full = Limit(CATEGORY, sales=9), Limit("partner:XYZ", sales=0)
    assert isinstance(post(ledger, "L1", place(wide, full)), LimitReached)
    assert (used(ledger), used(ledger, "partner:XYZ")) == (Used(0, 0, 0, 0), Used(0, 0, 0, 1))


def test_a_claim_that_another_copy_was_first_with_takes_nothing(ledger: Ledger):
    row = bring(ledger, State.BID, "L1")
    take = place(Limit(CATEGORY, sales=9))
    assert isinstance(ledger.claim(row, Call.POST, 5_000, take), LeadRow)
    assert ledger.claim(row, Call.POST, 5_000, take) is None
    assert used(ledger).sales == 1


def test_pings_are_counted_for_good_and_end_where_no_sale_has_room(ledger: Ledger):
    """A ping for a lead that could not be posted would be a call wasted."""
    ping = Take(DAY, (Limit(CATEGORY, pings=3, sales=1),), pings=1)
    for number in range(2):
        row = ledger.claim(take_in(ledger, f"L{number}"), Call.PING, 5_000, ping)
        assert isinstance(row, LeadRow)
        assert row.taken is None
        assert ledger.settle(row, exchange(Call.PING, AGAIN), Move(State.RECEIVED))
    assert used(ledger) == Used(2, 0, 0, 0)
    assert isinstance(post(ledger, "S1", place(Limit(CATEGORY, pings=3, sales=1))), LeadRow)
    reached = ledger.claim(take_in(ledger, "L8"), Call.PING, 5_000, ping)
    assert isinstance(reached, LimitReached)
    assert "1 sales" in reached.reason
    more = replace(ping, limits=(Limit(CATEGORY, pings=2),))
    reached = ledger.claim(take_in(ledger, "L9"), Call.PING, 5_000, more)
    assert isinstance(reached, LimitReached)
    assert "2 pings" in reached.reason


def test_payouts_are_counted_as_they_are_quoted(ledger: Ledger):
    limit = Limit(CATEGORY, payouts_micros=2 * PRICE + 1)
    assert isinstance(post(ledger, "L1", place(limit)), LeadRow)
    assert isinstance(post(ledger, "L2", place(limit)), LeadRow)
    reached = post(ledger, "L3", place(limit))
    assert isinstance(reached, LimitReached)
    assert "$ 25.00 in payouts" in reached.reason
    assert isinstance(post(ledger, "L4", place(limit, price=1)), LeadRow)


def test_a_one_step_sale_s_payout_counts_when_it_is_known(ledger: Ledger):
    """Nobody knows it before the answer: the sale that goes over the limit is the last."""
    limit = Limit(CATEGORY, payouts_micros=PRICE)
    rows = [
        ledger.claim(take_in(ledger, f"L{n}", Call.ONE_STEP), Call.ONE_STEP, 5_000, place(limit, price=0))
        for n in (1, 2)
    ]
    for row in rows:
        assert isinstance(row, LeadRow)
        assert ledger.settle(row, exchange(Call.ONE_STEP, SALE), sold(row))
    assert SALE.price == Money(12_000_000)
    assert used(ledger).payouts_micros == 24_000_000
    row = take_in(ledger, "L3", Call.ONE_STEP)
    assert isinstance(ledger.claim(row, Call.ONE_STEP, 5_000, place(limit, price=0)), LimitReached)


def test_many_processes_never_sell_one_too_many(open_ledger: Callable[[], Ledger]):
    """A hundred places, four processes of four threads, all at once; refusals give places back in between."""
    ledgers = [open_ledger() for _ in range(4)]
    take = place(Limit(CATEGORY, sales=20))
    rows = [bring(ledgers[0], State.BID, f"L{number}") for number in range(64)]

    def work(number: int) -> list[bool]:
        ledger, done = ledgers[number % 4], []
        for place_, row in enumerate(rows[number::16]):
            claimed = ledger.claim(row, Call.POST, 5_000, take)
            if isinstance(claimed, LeadRow):
                refused = (number + place_) % 3 == 0
                step = end(claimed) if refused else sold(claimed)
                ledger.settle(claimed, exchange(Call.POST, AGAIN if refused else SALE), step)
                done.append(not refused)
        return done

    results = at_once([lambda number=number: work(number) for number in range(16)])
    assert not [fault for fault in results if isinstance(fault, BaseException)]
    sold_ = sum(map(sum, results))  # type: ignore[arg-type]  # lists, as was just seen
    assert sold_ == used(ledgers[0]).sales <= 20
    # Places that were given back when nobody was left to take them.
    for number in range(20 - sold_):
        assert isinstance(post(ledgers[0], f"late-{number}", take), LeadRow)
    assert isinstance(post(ledgers[0], "too-late", take), LimitReached)


class Books(RuleBasedStateMachine):
    """Any history of claims and answers: what is counted is what holds a place."""

    url: str

    @initialize(sales=st.integers(0, 4), payouts=st.none() | st.integers(0, 60_000_000))
    def begin(self, sales: int, payouts: int | None) -> None:
        self.ledger = self.open()
        self.limit = Limit(CATEGORY, sales=sales, payouts_micros=payouts)
        self.day = f"d{Books.number}"
        Books.number += 1
        self.holding: dict[str, tuple[LeadRow, int]] = {}
        self.kept: list[int] = []

    number = 0
    open: Callable[[], Ledger]

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.ledger.close()

    @rule(price=st.integers(0, 30_000_000))
    def claim(self, price: int) -> None:
        Books.number += 1
        lead_id = f"h{Books.number}"
        claimed = post(self.ledger, lead_id, Take(self.day, (self.limit,), sales=1, payouts_micros=price))
        held = [*self.kept, *(price_ for _, price_ in self.holding.values())]
        over = len(held) + 1 > (self.limit.sales or 0) or (
            self.limit.payouts_micros is not None and sum(held) + max(price, 1) > self.limit.payouts_micros
        )
        assert isinstance(claimed, LimitReached) is over
        if isinstance(claimed, LeadRow):
            assert json.loads(claimed.taken or "")["payouts"] == price
            self.holding[lead_id] = (claimed, price)

    @rule(pick=st.integers(0, 99), how=st.sampled_from(["sold", "unknown", "rejected", "again"]))
    def answer(self, pick: int, how: str) -> None:
        if not self.holding:
            return
        lead_id = sorted(self.holding)[pick % len(self.holding)]
        row, price = self.holding.pop(lead_id)
        step = {"sold": sold(row), "unknown": end(row, Status.UNKNOWN), "rejected": end(row), "again": Move(State.BID)}[
            how
        ]
        assert self.ledger.settle(row, exchange(Call.POST, SALE if how == "sold" else AGAIN), step)
        if how in ("sold", "unknown"):
            self.kept.append(price)

    @invariant()
    def the_count_is_what_holds_a_place(self) -> None:
        if not hasattr(self, "ledger"):
            return
        held = [*self.kept, *(price for _, price in self.holding.values())]
        counted = used(self.ledger, day=self.day)
        assert (counted.sales, counted.payouts_micros) == (len(held), sum(held))


def test_whatever_happens_the_count_is_what_holds_a_place(open_ledger: Callable[[], Ledger], ledger_url: str):
    class Here(Books):
        open = staticmethod(lambda: Ledger.open(ledger_url))

    examples = settings(max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(Here, settings=examples)

from __future__ import annotations

from tasks.core.outcome import Status
from tasks.core.tally import Tally, total

MORNING = Tally({Status.SOLD: 2, Status.REJECTED: 1}, {Status.SOLD: 1}, answered=3, bids=2, bid_total=25_000_001)
EVENING = Tally({Status.SOLD: 1}, bids=1, answered=1, bid_total=4_000_000, difference=-500_000)


def test_tallies_are_added_up_number_by_number_and_status_by_status() -> None:
    assert total([MORNING, EVENING]) == Tally(
        {Status.SOLD: 3, Status.REJECTED: 1},
        {Status.SOLD: 1},
        answered=4,
        bids=3,
        bid_total=29_000_001,
        difference=-500_000,
    )


def test_of_no_tallies_there_is_nothing() -> None:
    nothing = total([])
    assert nothing == Tally()
    assert (nothing.leads, nothing.sold, nothing.tested) == (0, 0, 0)
    assert (nothing.accept_rate, nothing.average_bid) == (None, None)


def test_live_leads_are_counted_and_those_of_test_mode_apart() -> None:
    assert (MORNING.leads, MORNING.sold, MORNING.tested) == (3, 2, 1)


def test_the_accept_rate_is_bids_of_answered_pings() -> None:
    assert MORNING.accept_rate == 2 / 3


def test_an_average_is_rounded_to_the_nearest_micro_dollar() -> None:
    assert MORNING.average_bid == 12_500_001
    assert Tally(bids=3, bid_total=10).average_bid == 3

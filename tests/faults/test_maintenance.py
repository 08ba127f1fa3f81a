"""Maintenance and limits: four workers find out together, and wait together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from ops.sandbox import Sandbox
from tasks.gates.store import COLD_MS, NARROW_PLACES
from tests.integration.installation import Installation, installed, lead
from tests.integration.upstream import Upstream

WORKERS = ("--no-flower", "--workers", "2", "--posts", "2")
MAINTENANCE_S = 60
MOST_CALLS = 20


@pytest.fixture(scope="module")
def buyer() -> Iterator[Sandbox]:
    with Sandbox() as buyer:
        yield buyer


@pytest.fixture(scope="module")
def four_workers(buyer: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Installation, Upstream]]:
    """Two workers for pings, two for posts, on the embedded broker."""
    with ExitStack() as stack:
        running = stack.enter_context(installed(tmp_path_factory.mktemp("four"), buyer, {}, *WORKERS))
        upstream = Upstream(running.broker_url)
        stack.callback(upstream.close)
        yield running, upstream


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_minute_of_maintenance_costs_the_buyer_at_most_twenty_calls(
    four_workers: tuple[Installation, Upstream], buyer: Sandbox
):
    """It begins while the buyer is in use, and sixty leads come in at once; all are sold when it is over."""
    running, upstream = four_workers
    upstream.sell(*(lead(f"m-before-{number}") for number in range(3)))
    buyer.play({"maintenance": [{"length_s": MAINTENANCE_S}]})
    flows = ({}, {}, {"flow": "one_step"})
    leads = [lead(f"m-{number}", deadline_s=150, **flows[number % 3]) for number in range(60)]

    upstream.send(*leads)

    outcomes = [upstream.answer(one["lead_id"], within_s=100) for one in leads]
    assert {outcome["status"] for outcome in outcomes} == {"sold"}
    refused = sum(counts.get("1000", 0) for counts in buyer.book()["counts"].values())
    assert 5 < refused <= MOST_CALLS
    assert running.lines("gate.closed", scope="buyer", code=1000)
    assert running.lines("gate.opened", scope="buyer")
    assert buyer.book()["resold"] == []
    assert buyer.book()["repeats"] == []


def test_all_workers_wait_together_as_long_as_a_buyer_that_limits_requests_asks_them_to(
    four_workers: tuple[Installation, Upstream], buyer: Sandbox
):
    """1100 with a Retry-After: after the calls that were under way together, one call tries at the end of each wait."""
    running, upstream = four_workers
    # A minute's end leaves the way wide: here it is as after a pause.
    running.command("gates", "open", "buyer")
    buyer.reset()
    buyer.play({"rules": [{"first": 6, "per": "all", "code": 1100, "retry_after_s": 2}]})
    leads = [lead(f"r-{number}", deadline_s=60) for number in range(30)]

    upstream.send(*leads)

    assert {upstream.answer(one["lead_id"], within_s=60)["status"] for one in leads} == {"sold"}
    calls = [datetime.fromisoformat(one["at"]) for one in buyer.book(calls=True)["calls"] if one["result"] == "1100"]
    first, *later = calls
    together = [at for at in later if at - first < timedelta(seconds=1.8)]
    assert len(calls) == 6
    closed = datetime.fromisoformat(running.wait_for_line("gate.closed", scope="buyer", code=1100)["timestamp"])
    # A machine that is slow to hear the first answer has sent more by then: a call holds its place only so long.
    assert 1 + len(together) <= NARROW_PLACES * (1 + (closed - first) // timedelta(milliseconds=COLD_MS))
    tries = [first, *later[len(together) :]]
    assert all(after - before > timedelta(seconds=1.8) for before, after in pairwise(tries))
    assert buyer.book()["repeats"] == []

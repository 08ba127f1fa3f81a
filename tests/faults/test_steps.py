"""Rules of a single step that no outside fault can be timed to hit: with a real ledger, and stand-ins around it."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest
from amqp.exceptions import AccessRefused
from kombu.exceptions import OperationalError
from structlog.testing import capture_logs

from tasks.base import Upkeep
from tasks.core.protocol import Call
from tasks.core.reasons import Answer, Refusal, Unanswered
from tasks.core.states import State
from tasks.ledger import LedgerError
from tasks.results import GoOn, Later, Stop, words
from tasks.services import Services
from tasks.steps import take
from tests.faults.stand_ins import BID, SALE, App, Buyer, Gates, Teller, arrive, state, step


def test_a_state_store_that_hangs_after_a_sale_keeps_nobody_waiting_for_it(services: Services):
    """The sale is in the ledger and told before the store hears of the answer."""
    states: list[State] = []
    teller = Teller()
    hang = Gates(lambda: states.append(state(services, "s-1") if teller.told else State.POSTING))
    sure = replace(services, buyer=Buyer([SALE]), gates=hang, teller=teller)
    arrive(sure, "s-1", Call.ONE_STEP)

    assert isinstance(take(sure, Call.ONE_STEP, "s-1"), Stop)

    assert states == [State.SOLD]
    assert teller.told == ["s-1"]


def test_a_broker_that_is_away_between_ping_and_post_does_not_end_the_lead(services: Services):
    """Celery calls a next link that cannot be published a failure of the task; the lead still has its bid."""
    sure = replace(services, buyer=Buyer([BID]))
    arrive(sure, "s-1")
    assert take(sure, Call.PING, "s-1") == GoOn(BID.price)
    app = App(sure)

    for away in (OperationalError("gone"), AccessRefused("no"), ConnectionResetError()):
        step(app).on_failure(away, "id", ["s-1"], {}, None)

    assert state(sure, "s-1") is State.BID
    assert app.buried == []


def test_a_fault_of_ours_ends_a_lead_as_failed_and_is_kept(services: Services):
    """The cause is with the dead letters, and says nothing of the caller's."""
    arrive(services, "s-1")
    app = App(services)

    with capture_logs() as lines:
        step(app).on_failure(ValueError("Hildegard"), "id", ["s-1"], {}, None)

    assert state(services, "s-1") is State.FAILED
    assert app.buried == ["s-1"]
    assert "Hildegard" not in str(lines)


def test_a_fault_of_ours_in_mid_post_leaves_the_lead_to_the_sweep(services: Services):
    """It may be sold: it is never `failed`."""
    fault = replace(services, buyer=Buyer([], during=lambda: 1 / 0))
    arrive(fault, "s-1", Call.ONE_STEP)
    with pytest.raises(ZeroDivisionError):
        take(fault, Call.ONE_STEP, "s-1")

    step(App(fault)).on_failure(ZeroDivisionError(), "id", ["s-1"], {}, None)

    assert state(fault, "s-1") is State.POSTING


def test_dead_letters_that_cannot_be_sent_do_not_keep_the_message(services: Services):
    """An exception from here would leave it neither acknowledged nor rejected, and its place in the prefetch taken."""

    def away() -> None:
        raise OperationalError("gone")

    arrive(services, "s-1")

    step(App(services, away)).on_failure(ValueError(), "id", ["s-1"], {}, None)

    assert state(services, "s-1") is State.FAILED


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (SALE, "sold 9.50"),
        (Refusal(5000, "Nobody wants Hildegard"), "rejected 5000"),
        (Unanswered("no answer"), "unknown"),
        (Unanswered("no connection", never_sent=True), None),
    ],
)
def test_what_a_step_says_to_who_watches_is_its_end_and_nobody_s_words(services: Services, answer: Answer, said: str):
    """The end, with the price or the buyer's code; a step that is to be taken again says nothing yet."""
    arrive(services, "s-1", Call.ONE_STEP)

    following = take(replace(services, buyer=Buyer([answer])), Call.ONE_STEP, "s-1")

    assert (None if isinstance(following, Later) else words(following)) == said
    if said is not None:
        assert words(cast("Stop", take(services, Call.ONE_STEP, "s-1"))) is None, "a copy that finds the lead ended"


@pytest.mark.parametrize(
    ("broke", "alarms"),
    [(KeyError("Hildegard"), 1), (LedgerError("away"), 0), (OperationalError("gone"), 0), (ConnectionResetError(), 0)],
)
def test_a_tick_of_beat_s_that_a_fault_of_ours_broke_raises_the_alarm(broke: Exception, alarms: int):
    """Nobody sees it in Flower. What is away is said where it is asked, and the next tick tries again."""
    with capture_logs() as logged:
        type("Tick", (Upkeep,), {"name": "sweep"})().on_failure(broke, "uuid", [], {}, None)

    assert [line["event"] for line in logged] == ["alarm"] * alarms
    assert "Hildegard" not in repr(logged)


def test_a_post_gets_no_more_time_than_remains_and_at_least_a_second(services: Services):
    """The buyer's eight seconds are cut to the deadline."""
    for deadline_s, least, most in ((60, 8, 8), (5, 4, 5), (0.8, 1, 1)):
        buyer = Buyer([Unanswered("no connection", never_sent=True)])
        short = replace(services, buyer=buyer)
        arrive(short, f"s-{deadline_s}", Call.ONE_STEP, deadline_s=deadline_s)
        assert isinstance(take(short, Call.ONE_STEP, f"s-{deadline_s}"), Later)
        assert least <= buyer.timeouts[0] <= most


def test_a_copy_of_a_message_neither_pings_nor_posts_beside_the_first(services: Services):
    """Whatever Celery hands out twice: one claim wins."""
    seen: list[object] = []

    def copy() -> None:
        seen.append(take(both, Call.ONE_STEP, "s-1", redelivered=True))

    buyer = Buyer([SALE], during=copy)
    both = replace(services, buyer=buyer)
    arrive(both, "s-1", Call.ONE_STEP)

    take(both, Call.ONE_STEP, "s-1")
    take(both, Call.ONE_STEP, "s-1", redelivered=True)

    assert seen == [Stop()]
    assert len(buyer.timeouts) == 1


def test_the_ping_of_a_copy_that_took_over_wins_and_the_first_one_s_token_is_dropped(services: Services):
    """A connection was cut in mid-ping, and both copies run to their ends."""

    def take_over() -> None:
        buyer.during = lambda: None
        assert take(both, Call.PING, "s-1", redelivered=True) == GoOn(BID.price)

    late = replace(BID, token="late")
    buyer = Buyer([BID, late], during=take_over)
    both = replace(services, buyer=buyer)
    arrive(both, "s-1")

    assert take(both, Call.PING, "s-1") == Stop()

    row = both.ledger.lead("s-1")
    assert row is not None
    assert (row.state, row.token) == (State.BID, BID.token)

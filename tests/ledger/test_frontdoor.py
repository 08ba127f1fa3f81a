"""The front door: each id once, each repetition recognised, each address kept."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from tasks.core.money import Money
from tasks.core.protocol import Call
from tasks.core.states import State
from tasks.ledger import Ledger, Receipt, Reception
from tasks.ledger.rows import to_ms
from tasks.ledger.schema import leads, refusals, replies
from tests.ledger.stories import arrival, at_once, bring, columns, end, standing


def addresses(ledger: Ledger, lead_id: str = "L1") -> list[tuple[str, str | None, bool]]:
    kept = select(replies).where(replies.c.lead_id == lead_id).order_by(replies.c.id)
    return ledger.read(lambda c: [(r.address, r.correlation_id, bool(r.replayed)) for r in c.execute(kept)])


def number_of_leads(ledger: Ledger) -> int:
    return ledger.read(lambda c: c.execute(select(func.count()).select_from(leads)).scalar_one())


def test_a_new_lead_is_received_with_all_that_it_came_with(ledger: Ledger):
    new = arrival("L1", Call.DIRECT_POST, reply="answers", correlation_id="c1", price=Money.parse("9.50"))
    assert ledger.accept([new]) == [Receipt(Reception.NEW, call=Call.DIRECT_POST)]
    row = standing(ledger)
    assert (row.state, row.epoch, row.call, row.numcategory, row.subid) == (
        State.RECEIVED,
        0,
        Call.DIRECT_POST,
        16001,
        "123",
    )
    assert (row.customid, row.offered_price, row.test) == ("L1", Money.parse("9.50"), False)
    assert row.fields == new.lead.fields
    assert addresses(ledger) == [("answers", "c1", False)]


def test_identity_is_in_no_repr_of_a_row(ledger: Ledger):
    assert "Zebulon" not in repr(bring(ledger, State.RECEIVED))


def test_an_empty_batch_takes_nothing_in(ledger: Ledger):
    assert ledger.accept([]) == []
    assert number_of_leads(ledger) == 0


def test_receipts_stand_in_the_order_of_their_arrivals(ledger: Ledger):
    ledger.accept([arrival("L2")])
    receipts = ledger.accept([arrival("L3"), arrival("L2"), arrival("L1"), arrival("L2", zipcode="10001")])
    assert [receipt.reception for receipt in receipts] == [
        Reception.NEW,
        Reception.OPEN,
        Reception.NEW,
        Reception.CONFLICT,
    ]


def test_a_batch_of_hundreds_is_taken_in_whole(ledger: Ledger):
    receipts = ledger.accept([arrival(f"L{number}") for number in range(1500)])
    assert {receipt.reception for receipt in receipts} == {Reception.NEW}
    assert number_of_leads(ledger) == 1500


@pytest.mark.parametrize("state", [State.RECEIVED, State.PINGING, State.BID, State.POSTING])
def test_a_second_sending_in_flight_leaves_its_address_and_changes_nothing(ledger: Ledger, state: State):
    bring(ledger, state, reply="first", correlation_id="1")
    before = columns(ledger)
    (receipt,) = ledger.accept([arrival(reply="second", correlation_id="2")])
    assert receipt == Receipt(Reception.OPEN, replay=True, call=Call.PING)
    assert addresses(ledger) == [("first", "1", False), ("second", "2", True)]
    assert columns(ledger) == before


def test_a_second_sending_after_the_end_gets_the_first_s_outcome(ledger: Ledger):
    bring(ledger, State.SOLD)
    before = columns(ledger)
    (receipt,) = ledger.accept([arrival(reply="second")])
    assert (receipt.reception, receipt.replay) == (Reception.ENDED, True)
    assert receipt.outcome is not None
    assert (receipt.outcome["status"], receipt.outcome["phone_number"]) == ("sold", "8005550123")
    assert addresses(ledger) == [], "it is answered from the receipt"
    assert columns(ledger) == before


def test_a_second_sending_may_be_stamped_anew(ledger: Ledger):
    ledger.accept([arrival(created_at=datetime.now(UTC))])
    (receipt,) = ledger.accept([arrival(created_at=datetime.now(UTC) + timedelta(seconds=1), deadline_s=30)])
    assert receipt.reception is Reception.OPEN


@pytest.mark.parametrize("state", [State.RECEIVED, State.POSTING, State.SOLD])
def test_the_same_id_with_other_content_changes_nothing(ledger: Ledger, state: State):
    bring(ledger, state)
    before = columns(ledger)
    for other in (arrival(reply="r", zipcode="10001"), arrival(call=Call.ONE_STEP), arrival(price=Money(1))):
        assert ledger.accept([other]) == [Receipt(Reception.CONFLICT)]
    assert columns(ledger) == before
    assert addresses(ledger) == []


def test_a_repeated_message_is_no_replay_and_says_that_its_chain_may_be_missing(ledger: Ledger):
    ledger.accept([arrival(reply="r", correlation_id="1")])
    (receipt,) = ledger.accept([arrival(reply="r", correlation_id="1", redelivered=True)])
    assert receipt == Receipt(Reception.OPEN, stands_still=True, call=Call.PING)
    assert addresses(ledger) == [("r", "1", False)], "one message, one answer"


def test_a_repeated_message_of_a_lead_that_is_under_way_starts_nothing(ledger: Ledger):
    bring(ledger, State.PINGING)
    (receipt,) = ledger.accept([arrival(redelivered=True)])
    assert receipt == Receipt(Reception.OPEN, call=Call.PING)


def test_a_repeated_message_of_an_ended_lead_is_no_replay(ledger: Ledger):
    bring(ledger, State.SOLD, reply="r")
    (receipt,) = ledger.accept([arrival(reply="r", redelivered=True)])
    assert (receipt.reception, receipt.replay) == (Reception.ENDED, False)


def test_a_second_sending_that_the_broker_repeats_still_leaves_its_address(ledger: Ledger):
    ledger.accept([arrival(reply="first", correlation_id="1")])
    (receipt,) = ledger.accept([arrival(reply="first", correlation_id="2", redelivered=True)])
    assert receipt.replay
    assert addresses(ledger) == [("first", "1", False), ("first", "2", True)]


def test_one_batch_may_hold_a_lead_twice_and_another_under_its_id(ledger: Ledger):
    receipts = ledger.accept(
        [
            arrival(reply="a"),
            arrival(reply="b"),
            arrival(reply="c", zipcode="10001"),
            arrival(reply="a", redelivered=True),
        ]
    )
    assert [(receipt.reception, receipt.replay) for receipt in receipts] == [
        (Reception.NEW, False),
        (Reception.OPEN, True),
        (Reception.CONFLICT, False),
        (Reception.OPEN, False),
    ]
    assert addresses(ledger) == [("a", None, False), ("b", None, True)]


def test_two_intakes_at_once_take_each_lead_in_once(open_ledger: Callable[[], Ledger]):
    intakes = [open_ledger() for _ in range(3)]
    ids = [f"L{number}" for number in range(40)]
    batches = [ids, ids[::-1], ids[20:] + ids[:20]]
    receipts = at_once(
        [
            lambda it=it, batch=batch: it.accept([arrival(lead_id, reply=f"r{batch[0]}") for lead_id in batch])
            for it, batch in zip(intakes, batches, strict=True)
        ]
    )
    taken = [
        (lead_id, receipt.reception)
        for batch, answers in zip(batches, receipts, strict=True)
        for lead_id, receipt in zip(batch, answers, strict=True)
    ]
    assert sorted(lead_id for lead_id, reception in taken if reception is Reception.NEW) == sorted(ids)
    assert {reception for _, reception in taken} == {Reception.NEW, Reception.OPEN}
    for lead_id in ids:
        assert sorted(replayed for _, _, replayed in addresses(intakes[0], lead_id)) == [False, True, True]


def test_an_address_left_while_a_lead_ends_is_told_or_answered(open_ledger: Callable[[], Ledger]):
    worker, intake = open_ledger(), open_ledger()
    for number in range(20):
        lead_id = f"L{number}"
        mine = bring(worker, State.PINGING, lead_id)
        done, receipts = at_once(
            [
                lambda mine=mine: worker.move(mine, end(mine)),
                lambda lead_id=lead_id: intake.accept([arrival(lead_id, reply="r")]),
            ]
        )
        assert done is True
        untold = worker.untold_of(lead_id)
        assert untold is not None
        left = [reply.address for reply in untold.replies]
        assert left == (["r"] if receipts[0].reception is Reception.OPEN else [])


def test_the_deadline_counts_from_the_lead_s_own_time_else_the_message_s_else_ours(ledger: Ledger):
    now = datetime.now(UTC)
    created, sent = now - timedelta(seconds=8), now - timedelta(seconds=3)
    ledger.accept([arrival("L1", created_at=created, sent_at=sent), arrival("L2", sent_at=sent), arrival("L3")])
    assert standing(ledger, "L1").deadline_ms == to_ms(created) + 20_000
    assert standing(ledger, "L2").deadline_ms == to_ms(sent) + 20_000
    assert standing(ledger, "L3").deadline_ms == columns(ledger, "L3")["received_at"] + 20_000


def test_a_producer_whose_clock_is_ahead_gains_no_time(ledger: Ledger):
    ledger.accept([arrival(created_at=datetime.now(UTC) + timedelta(hours=1))])
    assert standing(ledger).deadline_ms == columns(ledger)["received_at"] + 20_000


@pytest.mark.parametrize("lead_id", ["L1", "", "x" * 300, "nul\0", "\ud800"])
def test_a_refused_message_is_remembered_whatever_its_id_is(ledger: Ledger, lead_id: str):
    ledger.refuse(lead_id, "zipcode: must be exactly 5 digits\0")
    rows = ledger.read(lambda c: c.execute(select(refusals)).all())
    assert [row.reason[:8] for row in rows] == ["zipcode:"]
    assert number_of_leads(ledger) == 0

"""Leads, answers and outcomes for the ledger's tests, and ways to bring a lead to where a test begins."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import select, update

from tasks.buyers.port import Exchange
from tasks.core.bid import Bid
from tasks.core.lead import Flow, Lead
from tasks.core.money import Money
from tasks.core.outcome import Outcome, Stage, Status
from tasks.core.protocol import Call
from tasks.core.reasons import Answer, Refusal
from tasks.core.sale import Sale
from tasks.core.states import State
from tasks.ledger import Arrival, LeadRow, Ledger, Move, Reply
from tasks.ledger.rows import micros
from tasks.ledger.schema import attempts, leads

T = TypeVar("T")

BUDGET_MS = 5_000
FIELDS = {"numcategory": "16001", "subid": "123", "zipcode": "33139", "transfer_type": "1", "firstname": "Zebulon"}
BID = Bid(Money.parse("12.50"), "token-1", 90)
SALE = Sale("8005550123", Money.parse("12.00"), 90)
AGAIN = Refusal(1000, "Server under maintenance")
ENDS = [State(status.value) for status in Status if status is not Status.INVALID]


def arrival(
    lead_id: str = "L1",
    call: Call = Call.PING,
    *,
    reply: str | None = None,
    correlation_id: str | None = None,
    redelivered: bool = False,
    test: bool = False,
    deadline_s: float = 20,
    created_at: datetime | None = None,
    sent_at: datetime | None = None,
    price: Money | None = None,
    **fields: str,
) -> Arrival:
    flow = Flow.PING_POST if call is Call.PING else Flow(call.value)
    lead = Lead(lead_id, flow, FIELDS | fields, deadline_s, created_at, price)
    address = Reply("queue", reply, correlation_id) if reply else None
    agreed = price if call is Call.DIRECT_POST else None
    return Arrival(lead, call, test, address, redelivered, sent_at, agreed)


def exchange(call: Call, answer: Answer, *, raw: str = "{}") -> Exchange:
    return Exchange(call, answer, 200, 12.4, {"numcategory": "16001", "key": "***"}, raw)


def outcome(row: LeadRow, status: Status = Status.SOLD, *, at: datetime | None = None, **facts: Any) -> Outcome:
    at = at or datetime.now(UTC).replace(microsecond=0)
    stage = Stage.POST if row.state is State.POSTING else Stage.PING
    if status is Status.SOLD:
        facts = {"phone_number": SALE.phone_number, "forward_by": at + timedelta(seconds=30)} | facts
    return Outcome(row.lead_id, status, stage, at, row.numcategory, row.subid, row.customid, test=row.test, **facts)


def end(row: LeadRow, status: Status = Status.REJECTED, **facts: Any) -> Move:
    return Move(State(status.value), outcome=outcome(row, status, **facts))


def sold(row: LeadRow, sale: Sale = SALE) -> Move:
    values = {"phone_number": sale.phone_number, "price_confirmed": micros(sale.price)}
    return Move(State.SOLD, outcome=outcome(row, price_confirmed=sale.price), values=values)


def bid_move(bid: Bid = BID) -> Move:
    values = {"token": bid.token, "price_quoted": bid.price.micros, "duration_s": bid.duration_s}
    return Move(State.BID, values=values)


def take_in(ledger: Ledger, lead_id: str = "L1", call: Call = Call.PING, **how: Any) -> LeadRow:
    ledger.accept([arrival(lead_id, call, **how)])
    return standing(ledger, lead_id)


def standing(ledger: Ledger, lead_id: str = "L1") -> LeadRow:
    row = ledger.lead(lead_id)
    assert row is not None
    return row


def claimed(ledger: Ledger, row: LeadRow, call: Call) -> LeadRow:
    mine = ledger.claim(row, call, BUDGET_MS)
    assert mine is not None
    return mine


def bring(ledger: Ledger, state: State, lead_id: str = "L1", **how: Any) -> LeadRow:
    """Take a lead in and move it, by its calls, to an open state or to an end."""
    row = take_in(ledger, lead_id, **how)
    if state is State.RECEIVED:
        return row
    row = claimed(ledger, row, Call.PING)
    if state is State.PINGING:
        return row
    assert ledger.settle(row, exchange(Call.PING, BID), bid_move())
    if state is State.BID:
        return standing(ledger, lead_id)
    row = claimed(ledger, standing(ledger, lead_id), Call.POST)
    if state is State.POSTING:
        return row
    step = sold(row) if state is State.SOLD else end(row, Status(state.value), reason="as the test has it")
    assert ledger.move(row, step)
    return standing(ledger, lead_id)


def columns(ledger: Ledger, lead_id: str = "L1") -> dict[str, Any]:
    """Everything that stands in a lead's row."""
    return ledger.read(lambda c: dict(c.execute(select(leads).where(leads.c.lead_id == lead_id)).one()._mapping))


def attempts_of(ledger: Ledger, lead_id: str = "L1") -> list[dict[str, Any]]:
    """A lead's attempts, in order."""
    ordered = select(attempts).where(attempts.c.lead_id == lead_id).order_by(attempts.c.id)
    return ledger.read(lambda c: [dict(row._mapping) for row in c.execute(ordered)])


def age(ledger: Ledger, by_ms: int, *names: str, lead_id: str = "L1") -> None:
    """Let so much time have passed for these columns, without waiting for it."""
    earlier = {name: leads.c[name] - by_ms for name in names}
    with ledger.engine.begin() as connection:
        connection.execute(update(leads).where(leads.c.lead_id == lead_id).values(earlier))


def sold_days_ago(ledger: Ledger, lead_id: str = "L1", days: int = 91, *, told: bool = True) -> None:
    """Sell a lead by a ping and a post, so many days ago. Of several, the oldest is to be made first, as life does."""
    mine = bring(ledger, State.POSTING, lead_id)
    kept, untold = ledger.end(mine, exchange(Call.POST, SALE), sold(mine))
    assert kept
    assert untold
    if told:
        ledger.mark_told(untold)
    by_ms = days * 86_400_000
    age(ledger, by_ms, "ended_at", "received_at", "deadline_at", lead_id=lead_id)
    with ledger.engine.begin() as connection:
        theirs = update(attempts).where(attempts.c.lead_id == lead_id)
        connection.execute(theirs.values(at=attempts.c.at - by_ms))


def without_faults(results: Sequence[T | BaseException]) -> list[T]:
    """Give what `at_once` gave, where none of them failed."""
    good: list[T] = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        good.append(result)
    return good


def at_once(works: Sequence[Callable[[], T]], *, within_s: float = 60) -> list[T | BaseException]:
    """Run each in a thread of its own, all let go at the same moment; gives results or errors in their order."""
    barrier = threading.Barrier(len(works))
    results: list[Any] = [None] * len(works)

    def run(place: int) -> None:
        try:
            barrier.wait()
            results[place] = works[place]()
        except BaseException as fault:  # noqa: BLE001 - handed to the test
            results[place] = fault

    threads = [threading.Thread(target=run, args=(place,), daemon=True) for place in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(within_s)
        assert not thread.is_alive(), "a thread never came back"
    return results

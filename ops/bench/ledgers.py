"""A ledger of a million leads beside an empty one: each step of a lead, and each look of the sweep's, timed on both.

Steps are taken on the two in turn, so that what the disk has in mind meets both. The million are copies of one lead
that was sold, with its attempts: a month of them, under ids in no order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, func, insert, literal, select

from ops.bench.installation import lead as fields_of
from tasks.buyers.port import Exchange
from tasks.core.bid import Bid
from tasks.core.lead import Flow, Lead
from tasks.core.money import Money
from tasks.core.outcome import Outcome, Stage, Status
from tasks.core.protocol import Call
from tasks.core.sale import Sale
from tasks.core.states import State
from tasks.ledger import Arrival, LeadRow, Ledger, Move, migrate
from tasks.ledger.rows import from_ms, micros
from tasks.ledger.schema import attempts, leads

T = TypeVar("T")

BATCH: Final = 50
LEADS: Final = 1000
LOOKS: Final = 300
CHUNK: Final = 100_000
SPAN_MS: Final = 30 * 86_400_000
BUDGET_MS: Final = 10_000
_BID: Final = Bid(Money.parse("12.50"), "token-of-the-bench", 90)
_SALE: Final = Sale("+18005550199", Money.parse("12.50"), 90)
_TIMES: Final = frozenset({"received_at", "deadline_at", "changed_at", "due_at", "posted_at", "forward_by"})
_ENDS: Final = frozenset({"ended_at", "logged_at", "told_at", "at"})
_NUMBERS: Final = count()


@dataclass(slots=True)
class Stopwatch:
    """How long each step took, in seconds."""

    took_s: dict[str, list[float]] = field(default_factory=dict)

    def time(self, step: str, work: Callable[[], T]) -> T:
        """Do it, and keep its time."""
        began = time.perf_counter()
        done = work()
        self.took_s.setdefault(step, []).append(time.perf_counter() - began)
        return done


@contextmanager
def ledger_in(folder: Path, name: str) -> Iterator[Ledger]:
    """Make an empty ledger, and close it at the end."""
    url = f"sqlite:///{folder}/{name}.sqlite3"
    migrate(url)
    ledger = Ledger.open(url)
    try:
        yield ledger
    finally:
        ledger.close()


def compare(empty: Ledger, full: Ledger) -> dict[str, float]:
    """Give, for each step, its time on the full ledger over that on the empty one: medians of many."""
    pair = [(empty, Stopwatch()), (full, Stopwatch())]
    before, after = pair[0][1], pair[1][1]
    for _ in range(LEADS // BATCH):
        pair.reverse()
        batches = [accept(ledger, watch) for ledger, watch in pair]
        for ids in zip(*batches, strict=True):
            for (ledger, watch), lead_id in zip(pair, ids, strict=True):
                sell(ledger, watch, lead_id)
    for _ in range(LOOKS):
        pair.reverse()
        for ledger, watch in pair:
            look(ledger, watch)
    return {step: median(after.took_s[step]) / median(before.took_s[step]) for step in before.took_s}


def accept(ledger: Ledger, watch: Stopwatch) -> list[str]:
    """Take a batch in, and give its leads' ids."""
    ids = [f"bench-{next(_NUMBERS):09d}" for _ in range(BATCH)]
    arrivals = [Arrival(_lead(lead_id), Call.PING, test=False) for lead_id in ids]
    watch.time("accept", lambda: ledger.accept(arrivals))
    return ids


def sell(ledger: Ledger, watch: Stopwatch, lead_id: str) -> None:
    """Take a lead's way from the first read to its outcome told."""
    row = _there(watch.time("read", lambda: ledger.lead(lead_id)))
    claimed = _there(watch.time("claim ping", lambda: ledger.claim(row, Call.PING, BUDGET_MS)))
    values = {"token": _BID.token, "price_quoted": micros(_BID.price), "duration_s": _BID.duration_s}
    watch.time("settle ping", lambda: ledger.settle(claimed, _exchange(Call.PING), Move(State.BID, values=values)))
    row = _there(ledger.lead(lead_id))
    posting = _there(watch.time("claim post", lambda: ledger.claim(row, Call.POST, BUDGET_MS)))
    watch.time("settle post", lambda: ledger.settle(posting, _exchange(Call.POST), _sold(posting)))
    untold = _there(watch.time("outcome", lambda: ledger.untold_of(lead_id)))
    watch.time("told", lambda: ledger.mark_told(untold))


def look(ledger: Ledger, watch: Stopwatch) -> None:
    """Do what the sweep does each second, and what the metrics ask for."""
    watch.time("sweep: leads", lambda: ledger.standing_still(message_ms=5_000, call_ms=3_000, limit=200))
    watch.time("sweep: outcomes", lambda: ledger.untold(older_than_ms=3_000, limit=200))
    watch.time("backlog", ledger.backlog)


def fill(ledger: Ledger, number: int) -> None:
    """Copy one sold lead so many times."""
    sold = accept(ledger, Stopwatch())
    for lead_id in sold:  # all of them: what stayed open would be the sweep's to find
        sell(ledger, Stopwatch(), lead_id)
    with ledger.engine.connect() as connection:
        for first in range(0, number, CHUNK):
            with connection.begin():
                _copy(connection, sold[0], first, min(number, first + CHUNK), SPAN_MS // number)


def _copy(connection: Connection, sold: str, first: int, end: int, apart_ms: int) -> None:
    numbers = select(literal(first).label("n")).cte("numbers", recursive=True)
    numbers = numbers.union_all(select(numbers.c.n + 1).where(numbers.c.n < end - 1))
    new_id = func.printf("old-%08x-%d", numbers.c.n * 2_654_435_761 % 4_294_967_296, numbers.c.n)
    for table in (leads, attempts):
        told = {
            column.name: _copied(column.name, column, new_id, numbers.c.n * apart_ms)
            for column in table.c
            if column.name != "id"
        }
        source = select(*told.values()).select_from(table.join(numbers, table.c.lead_id == sold))
        connection.execute(insert(table).from_select(list(told), source))


def _copied(name: str, column: Any, new_id: Any, older_ms: Any) -> Any:
    if name in ("lead_id", "customid"):
        return new_id
    if name == "token":
        return literal("token-") + new_id
    return column - older_ms if name in _TIMES | _ENDS else column


def _lead(lead_id: str) -> Lead:
    given = {name: str(value) for name, value in fields_of(0, subid="123").items() if name != "lead_id"}
    return Lead(lead_id, Flow.PING_POST, given, 600.0)


def _exchange(call: Call) -> Exchange:
    request = {"numcategory": "16001", "zipcode": "33139", "key": "***"}
    return Exchange(call, _SALE if call.sells else _BID, 200, 1.5, request, '{"status":"accepted","price":"12.50"}')


def _sold(row: LeadRow) -> Move:
    at = from_ms(row.now_ms)
    outcome = Outcome(
        lead_id=row.lead_id,
        status=Status.SOLD,
        stage=Stage.POST,
        at=at,
        numcategory=row.numcategory,
        subid=row.subid,
        customid=row.customid,
        phone_number=_SALE.phone_number,
        forward_by=at + timedelta(seconds=30),
        price_quoted=row.price_quoted,
        price_confirmed=_SALE.price,
        duration_s=_SALE.duration_s,
        token=row.token,
        test=row.test,
    )
    values = {"phone_number": _SALE.phone_number, "price_confirmed": micros(_SALE.price)}
    return Move(State.SOLD, outcome=outcome, values=values)


def _there(found: Any) -> Any:
    if found is None:
        raise RuntimeError("the ledger lost a lead of the bench")
    return found

"""The statements of a lead's way, built once: building one anew costs more than running it does.

A claim, for one, took 0.95 ms of which the database's part was 0.1; and every write is run while its process holds the
ledger's one place to write in.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Text, and_, bindparam, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from tasks.core.protocol import Call
from tasks.core.states import State
from tasks.ledger.clock import now_ms
from tasks.ledger.prepared import Prepared
from tasks.ledger.schema import attempts, leads, replies

ROW = (*leads.c, now_ms().label("now"))

CLAIMED = {
    Call.PING: State.PINGING,
    Call.POST: State.POSTING,
    Call.ONE_STEP: State.POSTING,
    Call.DIRECT_POST: State.POSTING,
}

_ROW = [column.key for column in ROW]
# What may differ in a row that is claimed from how it was seen a moment ago: all else of it is known.
_CHANGED = (
    *(leads.c.epoch, leads.c.changed_at, leads.c.due_at, leads.c.pings, leads.c.posts),
    *(leads.c.last_code, leads.c.last_reason, now_ms().label("now")),
)
READ = Prepared(select(*ROW).where(leads.c.lead_id == bindparam("its_id")), answers=_ROW)
_ATTEMPT = [column.key for column in attempts.c if column.key != "id"]
APPEND_ATTEMPT = Prepared(insert(attempts).inline(), columns=_ATTEMPT)
UNTOLD = (
    *(leads.c.lead_id, leads.c.outcome, leads.c.logged_at, leads.c.told_at, leads.c.received_at),
    select(func.coalesce(func.sum(attempts.c.duration_ms), 0))
    .where(attempts.c.lead_id == leads.c.lead_id)
    .scalar_subquery()
    .label("buyer_ms"),
    now_ms().label("now"),
)
_ADDRESS = (replies.c.id, replies.c.medium, replies.c.address, replies.c.correlation_id, replies.c.replayed)
_WAITING = [column.label(f"reply_{column.key}") for column in _ADDRESS]
# A row for each address that still waits; one without an address where none does.
OUTCOME = Prepared(
    select(*UNTOLD, *_WAITING)
    .join_from(leads, replies, and_(replies.c.lead_id == leads.c.lead_id, replies.c.told_at.is_(None)), isouter=True)
    .where(leads.c.lead_id == bindparam("its_id"), leads.c.outcome.is_not(None))
    .order_by(replies.c.id),
    answers=[column.key for column in (*UNTOLD, *_WAITING)],
)
MARK_TOLD = Prepared(
    update(leads).where(leads.c.lead_id == bindparam("its_id")).values(told_at=now_ms(), logged_at=now_ms())
)
MARK_LOGGED = Prepared(update(leads).where(leads.c.lead_id == bindparam("its_id")).values(logged_at=now_ms()))
MARK_REPLY_TOLD = Prepared(update(replies).where(replies.c.id == bindparam("its_id")).values(told_at=now_ms()))


NOW = Prepared(select(now_ms().label("now")), answers=["now"])
_ARRIVING = [
    *("lead_id", "state", "fingerprint", "flow", "call", "test", "numcategory", "subid", "customid", "content"),
    *("offered_price", "received_at", "deadline_at", "changed_at", "due_at"),
]
APPEND_REPLY = Prepared(
    insert(replies).inline(), columns=["lead_id", "medium", "address", "correlation_id", "replayed"]
)


def inserting(dialect: str) -> Any:
    """Give the INSERT of leads that leaves those alone which are there, and gives the ids of those that were not."""
    into = sqlite.insert(leads) if dialect == "sqlite" else postgresql.insert(leads)
    return into.on_conflict_do_nothing().returning(leads.c.lead_id)


@cache
def arrive(dialect: str) -> Prepared:
    """Give the same for one lead. Parameters: its columns."""
    return Prepared(inserting(dialect), columns=_ARRIVING, answers=["lead_id"])


def _stands() -> tuple[ColumnElement[bool], ...]:
    """Match a lead only where it still stands as it was seen."""
    return (
        leads.c.lead_id == bindparam("its_id"),
        leads.c.state == bindparam("its_state"),
        leads.c.epoch == bindparam("its_epoch"),
    )


def _due() -> ColumnElement[int]:
    return now_ms() + bindparam("due_in_ms", type_=BigInteger)


@cache
def claim(call: Call, columns: frozenset[str] = frozenset()) -> Prepared:
    """Give the claim of a call that writes these columns besides.

    Parameters: its_id, its_state, its_epoch, due_in_ms, its_note, and ``new_…`` for each column.
    """
    counter = leads.c.pings if call is Call.PING else leads.c.posts
    values: dict[Any, Any] = {leads.c[name]: bindparam(f"new_{name}", type_=leads.c[name].type) for name in columns}
    values |= {
        leads.c.state: CLAIMED[call].value,
        leads.c.epoch: leads.c.epoch + 1,
        leads.c.changed_at: now_ms(),
        leads.c.due_at: _due(),
        leads.c.taken: bindparam("its_note", type_=Text),
        counter: counter + 1,
    }
    if call.sells:
        values[leads.c.posted_at] = now_ms()
    in_time = update(leads).where(*_stands(), leads.c.deadline_at > now_ms()).values(values)
    return Prepared(in_time.returning(*_CHANGED), answers=[column.key for column in _CHANGED])


@cache
def move(columns: frozenset[str]) -> Prepared:
    """Give a move that writes these columns. Parameters: the claim's, and ``new_…`` for each column."""
    values = {name: bindparam(f"new_{name}", type_=leads.c[name].type) for name in columns}
    return Prepared(update(leads).where(*_stands()).values(changed_at=now_ms(), due_at=_due(), **values))


@cache
def postpone(columns: frozenset[str]) -> Prepared:
    """Give a postponement that writes these columns besides. Parameters: a move's."""
    values = {name: bindparam(f"new_{name}", type_=leads.c[name].type) for name in columns}
    return Prepared(update(leads).where(*_stands()).values(due_at=_due(), **values))

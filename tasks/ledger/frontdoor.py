"""Leads as they arrive: each id once, each repetition recognised. One transaction a batch."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, insert, select

from tasks.core.protocol import Call
from tasks.core.states import State
from tasks.ledger import statements
from tasks.ledger.clock import now_ms
from tasks.ledger.retention import ERASED
from tasks.ledger.rows import Arrival, Receipt, Reception, Reply, micros, storable, to_ms
from tasks.ledger.schema import leads, refusals, replies


def accept(connection: Connection, arrivals: Sequence[Arrival]) -> list[Receipt]:
    """Take a batch in, and answer each arrival in its order."""
    if not arrivals:
        return []
    now: int = statements.NOW.one(connection, {}).now
    first: dict[str, int] = {}
    for place, arrival in enumerate(arrivals):
        first.setdefault(arrival.lead.lead_id, place)
    fresh = _insert(connection, [arrivals[place] for place in first.values()], now)
    news = {first[lead_id] for lead_id in fresh}
    known = _known(connection, {it.lead.lead_id for place, it in enumerate(arrivals) if place not in news})
    receipts = []
    answers: list[dict[str, Any]] = []
    for place, arrival in enumerate(arrivals):
        lead_id = arrival.lead.lead_id
        if place in news:
            receipt = Receipt(Reception.NEW, call=arrival.call)
        else:
            receipt = _receipt(connection, known[lead_id], arrival, answers)
        receipts.append(receipt)
        asks_anew = receipt.reception is Reception.NEW or (receipt.reception is Reception.OPEN and receipt.replay)
        if arrival.reply and asks_anew:
            answers.append(_reply_values(arrival.reply, lead_id, replayed=receipt.replay))
    if len(answers) == 1 or connection.dialect.name == "sqlite":
        for answer in answers:
            statements.APPEND_REPLY.run(connection, answer)
    elif answers:
        connection.execute(insert(replies), answers)
    return receipts


def refuse(connection: Connection, lead_id: str, reason: str) -> None:
    """Remember a message that never became a lead."""
    connection.execute(insert(refusals).values(lead_id=storable(lead_id)[:255], reason=storable(reason), at=now_ms()))


def _insert(connection: Connection, arrivals: Sequence[Arrival], now: int) -> set[str]:
    dialect = connection.dialect.name
    # In one order everywhere: two intakes that take in the same leads wait for each other once, and not in a circle.
    ordered = sorted(arrivals, key=lambda arrival: arrival.lead.lead_id)
    values = [_values(arrival, now) for arrival in ordered]
    if len(values) > 1 and dialect != "sqlite":  # where each would be a round trip
        return set(connection.execute(statements.inserting(dialect), values).scalars())
    arrive = statements.arrive(dialect)
    return {row.lead_id for one in values if (row := arrive.one(connection, one)) is not None}


def _values(arrival: Arrival, now: int) -> dict[str, Any]:
    lead = arrival.lead
    created = lead.created_at or arrival.sent_at
    begun = now if created is None else min(now, to_ms(created))
    return {
        "lead_id": lead.lead_id,
        "state": State.RECEIVED.value,
        "fingerprint": lead.fingerprint(),
        "flow": lead.flow.value,
        "call": arrival.call.value,
        "test": arrival.test,
        "numcategory": lead.numcategory,
        "subid": lead.subid,
        "customid": lead.customid,
        "content": json.dumps(dict(lead.fields), separators=(",", ":")),
        "offered_price": micros(arrival.agreed_price),
        "received_at": now,
        "deadline_at": begun + round(lead.deadline_s * 1000),
        "changed_at": now,
        "due_at": now,
    }


def _known(connection: Connection, lead_ids: Collection[str]) -> dict[str, Any]:
    if not lead_ids:
        return {}
    columns = (leads.c.lead_id, leads.c.fingerprint, leads.c.state, leads.c.outcome, leads.c.call)
    # Locked, so that a lead cannot end between our look at it and the address that we leave: it would never be told.
    locked = select(*columns).where(leads.c.lead_id.in_(lead_ids)).order_by(leads.c.lead_id).with_for_update()
    return {row.lead_id: row for row in connection.execute(locked)}


def _receipt(connection: Connection, known: Any, arrival: Arrival, answers: list[dict[str, Any]]) -> Receipt:
    if known.fingerprint not in (ERASED, arrival.lead.fingerprint()):
        return Receipt(Reception.CONFLICT)
    replay = not _is_repetition(connection, arrival, answers)
    if known.outcome is not None:
        return Receipt(Reception.ENDED, replay=replay, outcome=json.loads(known.outcome))
    stands_still = not replay and known.state == State.RECEIVED.value
    return Receipt(Reception.OPEN, replay=replay, stands_still=stands_still, call=Call(known.call))


def _is_repetition(connection: Connection, arrival: Arrival, answers: list[dict[str, Any]]) -> bool:
    """Whether the broker repeats a message whose acknowledgement it missed, which is no second sending.

    `answers` are the addresses that this batch leaves: both copies of a message may be in it.
    """
    if not arrival.redelivered or arrival.reply is None:
        return arrival.redelivered
    lead_id, reply = arrival.lead.lead_id, arrival.reply
    whose = (lead_id, reply.address, reply.correlation_id)
    if any(whose == (left["lead_id"], left["address"], left["correlation_id"]) for left in answers):
        return True
    same = select(replies.c.id).where(
        replies.c.lead_id == lead_id,
        replies.c.address == reply.address,
        replies.c.correlation_id.is_not_distinct_from(reply.correlation_id),
    )
    return connection.execute(same.limit(1)).first() is not None


def _reply_values(reply: Reply, lead_id: str, *, replayed: bool) -> dict[str, Any]:
    return {
        "lead_id": lead_id,
        "medium": reply.medium,
        "address": reply.address,
        "correlation_id": reply.correlation_id,
        "replayed": replayed,
    }

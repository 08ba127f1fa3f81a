"""Beat's tasks: each is safe to run twice, and late."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, cast

import structlog
from celery import Task, shared_task

from tasks.away import BROKER_AWAY
from tasks.base import Upkeep
from tasks.core.outcome import Stage, Status
from tasks.core.protocol import Call
from tasks.core.states import State
from tasks.ledger import LeadRow, LedgerError, Move
from tasks.outbox import tell_again
from tasks.sell import sale_of
from tasks.services import Services
from tasks.steps import end, expire
from tasks.telling import ExchangeRefuses

log = structlog.stdlib.get_logger()

# A message that has not led to a claim for so long after it was due is taken for lost.
LOST_MESSAGE_MS: Final = 5_000
# A call that has brought nothing for so long after it must have ended died with its worker.
DEAD_CALL_MS: Final = 3_000
UNTOLD_MS: Final = 3_000
# Threads that hold answers try the ledger so often that each has written by then, once it is there again.
LEDGER_BACK_S: Final = 10.0
# With so many messages in the queues, leads that stand still most likely wait for their turn: a second message for each
# would make the queue longer still.
LONG_QUEUE: Final = 100
AT_ONCE: Final = 500
DAY_MS: Final = 86_400_000
# Each batch is a transaction that others wait for; so many a run keep up with a million leads a day.
MOST_BATCHES: Final = 20

_sweeping = threading.Lock()


@shared_task(bind=True, base=Upkeep, name="reset_caps")
def reset_caps(self: Task) -> None:
    """Open the caps whose day is over."""
    services = cast("Services", self.app.services)
    services.gates.reset()
    services.measures.kept_up(reset_caps.name)


@shared_task(bind=True, base=Upkeep, name="forget")
def forget(self: Task) -> None:
    """Erase the identity of callers whose leads ended long ago (`PINGPOST_RETENTION_DAYS`)."""
    services = cast("Services", self.app.services)
    older_than_ms = services.rules.retention_days * DAY_MS
    erased = 0
    with suppress(LedgerError):  # what is left, the next one erases
        for _ in range(MOST_BATCHES):
            batch = services.ledger.erase_identity(older_than_ms=older_than_ms, limit=AT_ONCE)
            erased += batch
            if batch < AT_ONCE:
                break
        if erased:
            services.ledger.checkpoint()
    services.measures.kept_up(forget.name)
    if erased:
        log.info("identity.erased", leads=erased, older_than_days=services.rules.retention_days)


@shared_task(bind=True, base=Upkeep, name="sweep")
def sweep(self: Task) -> None:
    """See to leads that stand still and to outcomes that nobody was told of.

    One at a time in a process: a tick that comes while one is long at it would tell the same outcomes once more.
    """
    if not _sweeping.acquire(blocking=False):
        return
    try:
        look_after_all(cast("Services", self.app.services), self.app.backlog)
    finally:
        _sweeping.release()


def look_after_all(services: Services, backlog: Callable[[], int]) -> None:
    """Sweep once, whoever else does at the same time. `backlog` counts the messages that wait for a worker."""
    # With the ledger or the broker away, each of the others would wait for it in vain: the next sweep sees to them.
    with suppress(LedgerError, *BROKER_AWAY):
        rows = services.ledger.standing_still(message_ms=LOST_MESSAGE_MS, call_ms=DEAD_CALL_MS, limit=AT_ONCE)
        if services.ledger.back_for_s < LEDGER_BACK_S:
            # The answer to a post is in somebody's hands, who writes it down now: it is not `unknown` yet.
            rows = [row for row in rows if row.state is not State.POSTING]
        if len(rows) > LONG_QUEUE and backlog() > LONG_QUEUE:
            rows = [row for row in rows if not _queues(row)]
        for row in rows:
            _alone(row.lead_id, partial(mend, services, row))
        for untold in services.ledger.untold(older_than_ms=UNTOLD_MS, limit=AT_ONCE):
            _alone(untold.lead_id, partial(tell_again, services, untold))
    services.measures.kept_up(sweep.name)


def _queues(row: LeadRow) -> bool:
    """Whether a lead may just wait for its turn."""
    return row.state in (State.RECEIVED, State.BID) and row.remaining_s > 0


def _alone(lead_id: str, see_to: Callable[[], object]) -> None:
    """See to one lead. A fault of ours in it is an alarm, and must not leave all others lying."""
    try:
        see_to()
    except (LedgerError, *BROKER_AWAY):
        raise
    except ExchangeRefuses as why:
        log.warning("outcome.untold", lead_id=lead_id, reason=str(why))
    except Exception as fault:  # noqa: BLE001 - see above
        cause = type(fault).__name__
        log.error("alarm", lead_id=lead_id, stage="sweep", reason="a fault of ours", cause=cause)  # noqa: TRY400


def mend(services: Services, row: LeadRow) -> None:
    """Move one lead on that stands still."""
    if row.state is State.POSTING:
        call = row.call if row.call.sells else Call.POST
        reason = f"a {call} was begun and its answer never came; the lead may be sold"
        if end(services, row, Status.UNKNOWN, Stage.POST, reason):
            log.error("alarm", lead_id=row.lead_id, stage="post", reason=reason)
        return
    if row.remaining_s <= 0:
        expire(services, row)
        return
    if row.state is State.PINGING:
        still_there = services.ledger.move(row, Move(State.RECEIVED))
    else:
        still_there = services.ledger.postpone(row, 0)
    if still_there:
        services.measures.resumed()
        log.info("lead.resumed", lead_id=row.lead_id, state=row.state.value)
        sale_of(row.lead_id, Call.POST if row.state is State.BID else row.call).apply_async()

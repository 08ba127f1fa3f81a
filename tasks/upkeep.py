"""Beat's tasks: each is safe to run twice, and late."""

from __future__ import annotations

from typing import Final, cast

import structlog
from celery import Task, shared_task

from tasks.core.outcome import Stage, Status
from tasks.core.protocol import Call
from tasks.core.states import State
from tasks.ledger import LeadRow, LedgerError, Move
from tasks.outbox import tell
from tasks.sell import sale_of
from tasks.services import Services
from tasks.steps import end, expire

log = structlog.stdlib.get_logger()

# A message that has not led to a claim for so long after it was due is taken for lost.
LOST_MESSAGE_MS: Final = 5_000
# A call that has brought nothing for so long after it must have ended died with its worker.
DEAD_CALL_MS: Final = 3_000
UNTOLD_MS: Final = 3_000
AT_ONCE: Final = 500


@shared_task(bind=True, name="reset_caps", ignore_result=True)
def reset_caps(self: Task) -> None:
    """Open the caps whose day is over."""
    services = cast("Services", self.app.services)
    services.gates.reset()


@shared_task(bind=True, name="sweep", ignore_result=True)
def sweep(self: Task) -> None:
    """See to leads that stand still and to outcomes that nobody was told of."""
    services = cast("Services", self.app.services)
    try:
        for row in services.ledger.standing_still(message_ms=LOST_MESSAGE_MS, call_ms=DEAD_CALL_MS, limit=AT_ONCE):
            mend(services, row)
        for untold in services.ledger.untold(older_than_ms=UNTOLD_MS, limit=AT_ONCE):
            tell(services, untold)
    except LedgerError:
        log.warning("ledger.away", stage="sweep")


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
        log.info("lead.resumed", lead_id=row.lead_id, state=row.state.value)
        sale_of(row.lead_id, Call.POST if row.state is State.BID else row.call).apply_async()

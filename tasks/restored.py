"""A ledger that was restored from a backup: what was open then may have been sold since."""

from __future__ import annotations

from functools import partial
from typing import Final

from tasks.core.outcome import Stage, Status
from tasks.core.states import State
from tasks.ledger import LeadRow, Ledger, backup
from tasks.results import outcome_of

AT_ONCE: Final = 500
REASON: Final = "the ledger was restored from a backup in which the lead was open; it may have been sold since"


def end_what_was_open(ledger: Ledger) -> int:
    """End every open lead of a restored ledger as `unknown`, and give how many. The sweep tells them.

    Whoever was told another outcome before the restore drops this one by its `lead_id`; whoever was told none must not
    wait for ever. Nobody else may use the ledger meanwhile.
    """
    number = 0
    while rows := ledger.read(partial(backup.open_leads, limit=AT_ONCE)):
        ends = [outcome_of(row, Status.UNKNOWN, _stage(row), reason=REASON) for row in rows]
        ledger.write(partial(backup.abandon, ends=ends))
        number += len(rows)
    return number


def _stage(row: LeadRow) -> Stage:
    pings = row.state in (State.RECEIVED, State.PINGING) and not row.call.sells
    return Stage.PING if pings else Stage.POST

"""Writing what was read to the ledger: a batch as one, and where one of it is to blame, each alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import structlog

from tasks.ledger.away import is_away
from workers.intake.message import Unfit

log = structlog.stdlib.get_logger()

T = TypeVar("T")
R = TypeVar("R")


class LedgerAway(Exception):
    """The ledger cannot be written. Nobody was told or started: the same batch may be received again."""


def write(batch: Sequence[T], work: Callable[[Sequence[T]], Sequence[R]], *, stage: str, what: str) -> list[R | Unfit]:
    """Let `work` write a batch, and give its answers in their order; `what` names one of the batch in the alarm.

    Raises:
        LedgerAway: nothing of the batch is known to be written.
    """
    if not batch:
        return []
    try:
        return list(work(batch))
    except Exception as fault:
        if is_away(fault):
            raise LedgerAway(type(fault).__name__) from fault
        if len(batch) == 1:
            cause = type(fault).__name__
            log.error("alarm", stage=stage, reason=f"the ledger refuses {what}", cause=cause)  # noqa: TRY400
            return [Unfit(f"the ledger refuses it: {cause}")]
    # One of them is to blame, and nothing was committed: each alone, in their order.
    return [answer for one in batch for answer in write([one], work, stage=stage, what=what)]


def ours(fault: Exception, *, stage: str) -> Unfit:
    """Say that a fault of ours keeps a message from being handled; it must not keep those behind it."""
    # Without the traceback: an error's text may hold the caller's data.
    log.error("alarm", stage=stage, reason="a fault of ours", cause=type(fault).__name__)
    return Unfit(f"a fault of ours: {type(fault).__name__}")

"""What becomes of a batch of the queue `calls`: kept in the ledger, known already, or buried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from tasks.core import jsonobject
from tasks.core.callreport import CallReport, InvalidReport, read_report
from tasks.core.outcome import rfc3339
from tasks.ledger import Ledger
from tasks.ledger.callreports import Kept, Refused
from workers.intake.message import LARGEST_BODY, Message, Unfit
from workers.intake.writing import ours, write

log = structlog.stdlib.get_logger()

STAGE: Final = "calls"


@dataclass(frozen=True, slots=True)
class CallReceiver:
    """Receives batches of reports, whichever broker they come from. Used by one thread."""

    ledger: Ledger

    def receive(self, batch: Sequence[Message], *, again: bool = False) -> list[tuple[Message, Unfit]]:
        """Take a batch in (`loop.Receives`)."""
        readings = [_read(message) for message in batch]
        reports = [reading for reading in readings if isinstance(reading, CallReport)]
        answers = iter(write(reports, self.ledger.keep_reports, stage=STAGE, what="a report of a call"))
        buried = []
        for message, reading in zip(batch, readings, strict=True):
            answer = next(answers) if isinstance(reading, CallReport) else reading
            if isinstance(answer, Refused):
                answer = Unfit(answer.reason)
            if isinstance(answer, Unfit):
                buried.append((message, answer))
            elif isinstance(reading, CallReport):
                _say(reading, answer, perhaps_unsaid=again or message.redelivered)
        return buried


def _read(message: Message) -> CallReport | Unfit:
    if message.unreadable:
        return Unfit(message.unreadable)
    try:
        return read_report(jsonobject.parse(message.body, LARGEST_BODY))
    except (jsonobject.NotAnObject, InvalidReport) as fault:
        return Unfit(str(fault))
    except Exception as fault:  # noqa: BLE001 - a fault of ours in one message must not close the door to all
        return ours(fault, stage=STAGE)


def _say(report: CallReport, kept: Kept, *, perhaps_unsaid: bool) -> None:
    """Write the line of a report; of a repeated one only where a crash may have taken its line."""
    if kept.repeated and not perhaps_unsaid:
        return
    log.info(
        "call.reported",
        lead_id=report.lead_id,
        forwarded_at=report.forwarded_at and rfc3339(report.forwarded_at),
        lasted_s=report.duration_ms / 1000,
        standing=kept.payout.standing.value,
        reason=kept.payout.why and kept.payout.why.value,
    )
    if kept.corrects:
        log.warning("call.corrected", lead_id=report.lead_id)

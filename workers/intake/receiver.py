"""What becomes of a batch: committed in the ledger, started on its way, refused, answered again, or buried."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from tasks.away import BROKER_AWAY
from tasks.core.outcome import Outcome, Stage, Status
from tasks.core.protocol import Call
from tasks.ledger import Arrival, Ledger, Receipt, Reception, Reply
from tasks.measuring import UNMEASURED, Measures
from tasks.outbox import log_outcome
from tasks.telling import AddressRefuses, ExchangeRefuses, Teller
from workers.intake.message import Message, Unfit
from workers.intake.reading import Broken, Reader, shown
from workers.intake.writing import LedgerAway, ours, write

log = structlog.stdlib.get_logger()

STAGE: Final = "intake"
USED: Final = "lead_id: already used for another lead"


@dataclass(frozen=True, slots=True)
class _Accepted:
    """A lead that the ledger has, now or since long."""

    arrival: Arrival
    receipt: Receipt


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Receiver:
    """Receives batches, whichever broker they come from. Used by one thread.

    `start` publishes a lead's chain from a call on; when `started` returns, the broker has all of a batch.
    """

    reader: Reader
    ledger: Ledger
    teller: Teller
    start: Callable[[str, Call], object]
    started: Callable[[], object] = lambda: None
    now: Callable[[], datetime] = _now
    measures: Measures = UNMEASURED

    def receive(self, batch: Sequence[Message], *, again: bool = False) -> list[tuple[Message, Unfit]]:
        """Take a batch in. Gives the messages that must be buried; all others may be acknowledged.

        First everything is written to the ledger, then everybody is told: so a batch that the ledger did not take may
        be received `again`, and each lead is then known as one that may have been committed the first time.

        Raises:
            LedgerAway: nothing has left this process.
            BROKER_AWAY: some leads may not have been started; their messages come again.
        """
        readings = [self._read(message) for message in batch]
        if again:
            readings = [replace(r, redelivered=True) if isinstance(r, Arrival) else r for r in readings]
        for reading in readings:
            if isinstance(reading, Broken):
                self._refuse(reading)
        arrivals = [reading for reading in readings if isinstance(reading, Arrival)]
        receipts = iter(write(arrivals, self.ledger.accept, stage=STAGE, what="a lead"))
        decisions = [self._decide(r, next(receipts)) if isinstance(r, Arrival) else r for r in readings]
        ends = [decision if isinstance(decision, Unfit) else self._act(decision) for decision in decisions]
        self.started()
        return [(message, unfit) for message, unfit in zip(batch, ends, strict=True) if unfit]

    def _read(self, message: Message) -> Arrival | Broken | Unfit:
        try:
            return self.reader.read(message)
        except Exception as fault:  # noqa: BLE001 - a fault of ours in one message must not close the door to all
            return ours(fault, stage=STAGE)

    def _decide(self, arrival: Arrival, receipt: Receipt | Unfit) -> Broken | Unfit | _Accepted:
        if isinstance(receipt, Unfit):
            return receipt
        if receipt.reception is Reception.NEW:
            self.measures.received()
        if receipt.reception is not Reception.CONFLICT:
            return _Accepted(arrival, receipt)
        lead = arrival.lead
        known = {"numcategory": str(lead.numcategory), "subid": lead.subid, "customid": lead.customid}
        conflict = Broken(lead.lead_id, USED, arrival.reply, known)
        self._refuse(conflict)
        return conflict

    def _refuse(self, broken: Broken) -> None:
        try:
            self.ledger.refuse(shown(broken.lead_id), broken.reason)
        except SQLAlchemyError as fault:
            raise LedgerAway(type(fault).__name__) from fault

    def _act(self, decision: Broken | _Accepted) -> Unfit | None:
        try:
            if isinstance(decision, Broken):
                self._tell_broken(decision)
            else:
                self._go_on(decision)
        except BROKER_AWAY:
            raise
        except Exception as fault:  # noqa: BLE001 - as above; a lead that the ledger has is left to the sweep
            unfit = ours(fault, stage=STAGE)
            return unfit if isinstance(decision, Broken) else None
        return None

    def _go_on(self, accepted: _Accepted) -> None:
        arrival, receipt = accepted.arrival, accepted.receipt
        if receipt.reception is Reception.ENDED:
            # What the broker repeats may be a second sending whose answer was cut short: it is told once more.
            if receipt.outcome is not None and (receipt.replay or arrival.reply):
                self._tell(receipt.outcome, arrival.reply, replayed=receipt.replay)
        elif receipt.reception is Reception.NEW or receipt.stands_still:
            self.start(arrival.lead.lead_id, receipt.call or arrival.call)

    def _tell_broken(self, broken: Broken) -> None:
        numcategory = broken.known.get("numcategory")
        outcome = Outcome(
            lead_id=broken.lead_id,
            status=Status.INVALID,
            stage=Stage.INTAKE,
            at=self.now(),
            numcategory=None if numcategory is None else int(numcategory),
            subid=broken.known.get("subid"),
            customid=broken.known.get("customid"),
            reason=broken.reason,
            test=self.reader.test,
        )
        message = outcome.message()
        self._tell(message, broken.reply)
        log_outcome({**message, "lead_id": shown(broken.lead_id)})
        self.measures.ended(outcome)

    def _tell(self, outcome: Mapping[str, Any], reply: Reply | None, *, replayed: bool = False) -> None:
        try:
            self.teller.tell(outcome, [reply] if reply else [], self.now(), replayed=replayed)
        except (AddressRefuses, ExchangeRefuses) as why:
            # Others' mistakes, and no reason to keep the leads behind this one waiting.
            log.warning("outcome.untold", lead_id=shown(str(outcome["lead_id"])), reason=str(why))

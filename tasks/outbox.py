"""Telling an outcome that is committed, and writing its one log line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import structlog

from tasks.away import BROKER_AWAY
from tasks.core.outcome import Outcome, Status
from tasks.ledger import LedgerError
from tasks.ledger.rows import Untold, from_ms
from tasks.services import Services
from tasks.telling import AddressRefuses, ExchangeRefuses, aged

log = structlog.stdlib.get_logger()


def tell_outcome(services: Services, lead_id: str, outcome: Outcome, untold: Untold | None = None) -> None:
    """Log an outcome that was just committed, and tell it. What fails here, the sweep does again.

    `untold`: who waits for it, where that was read with it.
    """
    log_outcome(untold.outcome if untold is not None else outcome.message())
    # Before it is told, which may take long: whoever tells it in our place must not write the line again.
    services.ledger.mark_logged_soon(lead_id)
    services.measures.ended(outcome)
    try:
        untold = untold or services.ledger.untold_of(lead_id)
    except LedgerError as away:
        log.warning("outcome.untold", lead_id=lead_id, reason=type(away).__name__)
        return
    if untold is None:
        return
    try:
        _tell(services, untold, services.ledger.mark_told_soon)
    except (*BROKER_AWAY, LedgerError, ExchangeRefuses) as away:
        log.warning("outcome.untold", lead_id=lead_id, reason=type(away).__name__)


def tell_again(services: Services, untold: Untold) -> None:
    """Tell an outcome that a crash or a broker's absence left untold; its log line too, if the crash took that.

    Raises:
        BROKER_AWAY, LedgerError, ExchangeRefuses: it is still to be told.
    """
    if not untold.logged:
        log_outcome(untold.outcome)
        _remember_the_line(services, untold.lead_id)
    _tell(services, untold, services.ledger.mark_told)


def _tell(services: Services, untold: Untold, mark: Callable[[Untold], None]) -> None:
    """Tell one outcome to the exchange and to all who wait for it, then mark it told."""
    now, began = from_ms(untold.now_ms), services.monotonic()
    _tell_all(services, untold, now)
    took_s = services.monotonic() - began  # a broker that stands still takes what it is sent, and hands it on later
    mark(untold)
    if untold.first:
        whole_s = (untold.now_ms - untold.received_ms) / 1000 + took_s
        services.measures.told(Status(untold.outcome["status"]), whole_s, untold.buyer_ms / 1000)
    if _is_late(untold.outcome, now + timedelta(seconds=took_s)):
        services.measures.late()
        log.error("alarm", lead_id=untold.lead_id, stage="post", reason="the outcome was told after forward_by")


def _tell_all(services: Services, untold: Untold, now: datetime) -> None:
    try:
        services.teller.tell(untold.outcome, untold.replies, now)
    except AddressRefuses as why:  # telling it again would not mend it
        log.warning("outcome.untold", lead_id=untold.lead_id, reason=str(why))


def log_outcome(message: Mapping[str, Any]) -> None:
    """Write the one line of a lead's outcome; the buyer's phone number only by its last two digits."""
    number = message.get("phone_number")
    line = {**message, "phone_number": f"***{str(number)[-2:]}"} if number else dict(message)
    log.info("lead.outcome", **line)


def _remember_the_line(services: Services, lead_id: str) -> None:
    # Forgotten, the line stands twice in the log.
    with suppress(LedgerError):
        services.ledger.mark_logged(lead_id)


def _is_late(outcome: Mapping[str, Any], now: datetime) -> bool:
    return "late" in aged(outcome, now, replayed=False)

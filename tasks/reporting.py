"""What a call tells the gates: that the buyer is well, that all must wait, or that a cap is reached."""

from __future__ import annotations

import structlog

from tasks.buyers.port import Exchange
from tasks.core import caps
from tasks.core.protocol import Action
from tasks.core.reasons import Refusal, Unanswered, Unreadable
from tasks.core.verdict import Again, Delay, Verdict
from tasks.gates.port import Heard
from tasks.ledger import LeadRow, LedgerError
from tasks.ledger.rows import from_ms
from tasks.services import Services

log = structlog.stdlib.get_logger()


def tell_the_gates(services: Services, row: LeadRow, ticket: str, exchange: Exchange, verdict: Verdict) -> None:
    """Report a call; a 4000 closes the cap's gate for the lead's scope, but for leads in test mode."""
    answer = exchange.answer
    heard = Heard.WELL
    if isinstance(answer, Unanswered | Unreadable):
        heard = Heard.NOTHING
    elif isinstance(verdict, Again) and verdict.delay is not Delay.BACKOFF:
        heard = Heard(verdict.delay.value)
    code = answer.code if isinstance(answer, Refusal) else None
    retry_after_s = answer.retry_after_s if isinstance(answer, Refusal) else None
    meaning = services.protocol.code(code).meaning if code else ""
    report(services, ticket, heard, code=code, reason=meaning, retry_after_s=retry_after_s)
    if code and services.protocol.code(code).action is Action.CAPPED and not row.test:
        _close_the_cap(services, row, code, meaning)


def report(
    services: Services,
    ticket: str,
    heard: Heard,
    *,
    code: int | None = None,
    reason: str = "",
    retry_after_s: float | None = None,
) -> None:
    """Report what was heard, and give the call's place in flight back."""
    services.gates.heard(ticket, heard, code=code, reason=reason, retry_after_s=retry_after_s)


def _close_the_cap(services: Services, row: LeadRow, code: int, reason: str) -> None:
    rules = services.rules
    scope = scope_of(services, row)
    until = caps.next_reset(from_ms(row.now_ms), rules.zone, rules.reset)
    try:
        services.gates.close(scope, code=code, reason=reason, until=until)
    except LedgerError:
        log.warning("gate.not_closed", scope=scope, code=code)


def scope_of(services: Services, row: LeadRow) -> str:
    """Name the gate that a lead must pass."""
    rules = services.rules
    return caps.scope(rules.cap_scope, partner_id=rules.partner_id, numcategory=row.numcategory, subid=row.subid)

"""What a call tells the gates: the buyer is well, all must wait, a cap is reached, the account is blocked."""

from __future__ import annotations

from typing import Final

import structlog

from tasks.buyers.port import Exchange
from tasks.core import caps
from tasks.core.bid import Bid
from tasks.core.protocol import Action, Code
from tasks.core.reasons import Answer, Refusal, Unanswered, Unreadable
from tasks.core.sale import Sale
from tasks.core.verdict import Again, Delay, Verdict
from tasks.gates.port import Go, Heard, Probe
from tasks.ledger import LeadRow, LedgerError
from tasks.ledger.rows import from_ms
from tasks.services import Services

log = structlog.stdlib.get_logger()

# A sub source of which the buyer has wanted a lead of late still sells.
SELLS_MS: Final = 600_000


def tell_the_gates(services: Services, row: LeadRow, go: Go, exchange: Exchange, verdict: Verdict) -> None:
    """Report a call. A 4000 closes the cap's gate, 2000 and 3000 the account's, but not for leads in test mode."""
    answer = exchange.answer
    heard = Heard.WELL
    if isinstance(answer, Unanswered):
        heard = Heard.NOTHING
    elif isinstance(answer, Unreadable):
        heard = Heard.GARBLED
    elif isinstance(verdict, Again) and verdict.delay is not Delay.BACKOFF:
        heard = Heard(verdict.delay.value)
    code = services.protocol.code(answer.code) if isinstance(answer, Refusal) and answer.code else None
    retry_after_s = answer.retry_after_s if isinstance(answer, Refusal) else None
    report(services, go, heard, code=code, retry_after_s=retry_after_s)
    if row.test:
        return
    try:
        _turn_the_gates(services, row, go, code, answer)
    except LedgerError as away:
        log.warning("gate.not_turned", lead_id=row.lead_id, code=code and code.number, reason=type(away).__name__)


def report(
    services: Services, go: Go, heard: Heard, *, code: Code | None = None, retry_after_s: float | None = None
) -> None:
    """Report what was heard, and give the call's place in flight back."""
    number, words = (code.number, code.meaning) if code else (None, "")
    services.gates.heard(go, heard, code=number, reason=words, retry_after_s=retry_after_s)


def scopes_of(services: Services, row: LeadRow) -> tuple[str, ...]:
    """Name the gates that a lead must pass: the partner's, the sub source's, the category's."""
    return tuple(_scope(services, row, kind) for kind in ("partner", "subid", "category"))


def _scope(services: Services, row: LeadRow, kind: str) -> str:
    partner_id = services.rules.partner_id
    return caps.scope(kind, partner_id=partner_id, numcategory=row.numcategory, subid=row.subid)


def _turn_the_gates(services: Services, row: LeadRow, go: Go, code: Code | None, answer: Answer) -> None:
    """Close what the answer closes, after settling which of the closed gates that this call tried stay so."""
    in_vain = [probe for probe in go.probes if not _opens(services, probe, code, answer)]
    if code is None or any(probe.code == code.number for probe in in_vain):
        return
    if code.action is Action.CAPPED:
        _close_the_cap(services, row, code)
    elif code.action is Action.BLOCKED:
        _close_the_account(services, row, code)


def _opens(services: Services, probe: Probe, code: Code | None, answer: Answer) -> bool:
    """Open a gate that was tried, or say when it may be tried again."""
    tries_a_cap = probe.code is not None and services.protocol.code(probe.code).action is Action.CAPPED
    if isinstance(answer, Bid | Sale):
        services.gates.open(probe.scope, "the buyer sells again", by_probe=True)
        return True
    action = code.action if code else Action.REJECTED
    if not isinstance(answer, Refusal) or action in (Action.WAIT, Action.SLOW):
        return False  # nothing was learnt: it is tried again when this call's time is over
    if tries_a_cap:
        # Any other refusal may be this lead's own.
        after = caps.probe_after if action is Action.CAPPED else _soon
        services.gates.probed(probe.scope, after)
        return False
    if action is Action.BLOCKED:
        services.gates.probed(probe.scope, lambda _: services.rules.account_probe_s or caps.LONGEST_PROBE_S)
        return False
    services.gates.open(probe.scope, "the buyer takes calls again", by_probe=True)
    return True


def _soon(_: int) -> float:
    return caps.FIRST_PROBE_S


def _close_the_cap(services: Services, row: LeadRow, code: Code) -> None:
    scope = _scope(services, row, services.rules.cap_scope)
    until = services.rules.calendar.ends(from_ms(row.now_ms))
    probe_s = caps.probe_after(0) if services.gates.is_doubtful(scope) else None
    services.gates.close(scope, code=code.number, reason=code.meaning, until=until, probe_s=probe_s)


def _close_the_account(services: Services, row: LeadRow, code: Code) -> None:
    """Close until an operator opens it; or until a lead that is let through to try it is not refused."""
    probe_s = services.rules.account_probe_s or None
    others = code.of_source and services.ledger.other_source_sells(row.subid, row.now_ms - SELLS_MS)
    scope = _scope(services, row, "subid" if others else "partner")
    services.gates.close(scope, code=code.number, reason=code.meaning, until=None, probe_s=probe_s)

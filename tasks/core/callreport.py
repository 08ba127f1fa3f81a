"""What upstream tells of a sold call (contract, `calls`), or every fault in it at once.

A fault names the field and the rule, never the value: reasons are logged, and values are a stranger's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from tasks.core.validation import LEAD_ID, read_time

LONGEST_CALL_S = 86_400
# How far upstream's clock may be from the ledger's before its times are no longer believed.
CLOCKS_APART = timedelta(seconds=60)


class InvalidReport(ValueError):
    """A report that breaks rules; the text is every fault, such as ``duration_s: required``."""


@dataclass(frozen=True, slots=True)
class CallReport:
    """What became of one sold lead's call. `forwarded_at`, in UTC to the millisecond, is None: never forwarded."""

    lead_id: str
    forwarded_at: datetime | None
    duration_ms: int


def read_report(given: Mapping[str, Any]) -> CallReport:
    """Check upstream's object. Fields besides the three say nothing here, and are passed over.

    Raises:
        InvalidReport: with every fault at once.
    """
    faults: list[str] = []
    lead_id = given.get("lead_id")
    if not isinstance(lead_id, str) or LEAD_ID.fullmatch(lead_id) is None:
        faults.append("lead_id: must be 1 to 40 characters of A-Za-z0-9_.:-")
    forwarded_at = _forwarded_at(given, faults)
    duration_ms = _duration_ms(given, faults)
    if faults:
        raise InvalidReport("; ".join(faults))
    return CallReport(str(lead_id), forwarded_at, duration_ms)


def doubt(report: CallReport, *, sold_at: datetime, now: datetime) -> str | None:
    """Say why a report cannot be true of a lead that was sold at `sold_at`; None where it can."""
    if report.forwarded_at is None:
        return None
    if report.forwarded_at > now + CLOCKS_APART:
        return "forwarded_at: in the future"
    if report.forwarded_at < sold_at - CLOCKS_APART:
        return "forwarded_at: before the lead was sold"
    return None


def _forwarded_at(given: Mapping[str, Any], faults: list[str]) -> datetime | None:
    if "forwarded_at" not in given:
        faults.append("forwarded_at: required (null: the caller was never forwarded)")
        return None
    value = given["forwarded_at"]
    if value is None:
        return None
    try:
        moment = read_time(value)
    except ValueError as fault:
        faults.append(f"forwarded_at: {fault}")
        return None
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _duration_ms(given: Mapping[str, Any], faults: list[str]) -> int:
    value = given.get("duration_s")
    if given.get("forwarded_at", "") is None:
        if value not in (None, 0) or isinstance(value, bool):
            faults.append("duration_s: must be 0 where the caller was never forwarded")
        return 0
    if "duration_s" not in given:
        faults.append("duration_s: required")
        return 0
    # Of a Decimal that is no number nothing can be asked; JSON has none, and jsonobject lets none pass.
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not 0 <= value <= LONGEST_CALL_S:
        faults.append(f"duration_s: must be a number of seconds from 0 to {LONGEST_CALL_S}")
        return 0
    return int(value * 1000)

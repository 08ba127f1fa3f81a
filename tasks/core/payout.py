"""Whether a sold call's payout is due: forwarded in time, and long enough (seed, Ping accepted and Post accepted)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tasks.core.callreport import CallReport


class Standing(StrEnum):
    """How the payout of a sold lead stands."""

    OPEN = "open"  # upstream has not told what became of the call
    DUE = "due"
    LOST = "lost"


class Loss(StrEnum):
    """Why a payout is lost."""

    NOT_FORWARDED = "not forwarded"
    TOO_LATE = "forwarded too late"
    TOO_SHORT = "too short"


@dataclass(frozen=True, slots=True)
class Payout:
    """How it stands; `why` says of a lost one what the buyer can hold against it."""

    standing: Standing
    why: Loss | None = None


def judge(report: CallReport | None, *, forward_by: datetime, minimum_s: int | None) -> Payout:
    """Decide by what upstream told of the call; `report` is None where it told nothing yet.

    `minimum_s` is the call duration that the buyer asked for. Where it asked for none, any call is long enough. Of a
    call that was forwarded too late and was too short besides, the first is told.
    """
    if report is None:
        return Payout(Standing.OPEN)
    if report.forwarded_at is None:
        return Payout(Standing.LOST, Loss.NOT_FORWARDED)
    if report.forwarded_at > forward_by:
        return Payout(Standing.LOST, Loss.TOO_LATE)
    if report.duration_ms < (minimum_s or 0) * 1000:
        return Payout(Standing.LOST, Loss.TOO_SHORT)
    return Payout(Standing.DUE)

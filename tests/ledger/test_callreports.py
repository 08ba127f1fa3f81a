"""Reports of calls in the ledger: every different one kept, the last one counts, and what cannot be true refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from tasks.core.callreport import CallReport
from tasks.core.outcome import Status
from tasks.core.payout import Loss, Payout, Standing
from tasks.core.states import State
from tasks.ledger import Ledger
from tasks.ledger.callreports import Kept, Refused
from tasks.ledger.rows import from_ms
from tasks.ledger.schema import call_reports, leads
from tests.ledger.stories import at_once, bring, columns, without_faults

DUE = Payout(Standing.DUE)
SHORT = Payout(Standing.LOST, Loss.TOO_SHORT)


def sold(ledger: Ledger, lead_id: str = "L1") -> CallReport:
    """Sell a lead, and give a report of a call that pays."""
    bring(ledger, State.SOLD, lead_id)
    ended_at = from_ms(columns(ledger, lead_id)["ended_at"])
    return CallReport(lead_id, ended_at + timedelta(seconds=10), 90_000)


def kept(ledger: Ledger, lead_id: str = "L1") -> list[tuple[int, str, str | None, bool]]:
    """Duration, standing, reason, and whether it counts, of each report in its order."""
    c = call_reports.c
    found = select(c.duration_ms, c.standing, c.why, c.counts).where(c.lead_id == lead_id).order_by(c.id)
    return ledger.read(lambda connection: [tuple(row) for row in connection.execute(found)])


def shorter(report: CallReport, ms: int = 89_999) -> CallReport:
    return CallReport(report.lead_id, report.forwarded_at, ms)


def test_a_report_is_kept_with_what_it_makes_of_the_payout(ledger: Ledger):
    """By the lead's own time to forward and call duration."""
    report = sold(ledger)
    assert ledger.keep_reports([report]) == [Kept(DUE, repeated=False, corrects=False)]
    assert kept(ledger) == [(90_000, "due", None, True)]


def test_a_repeated_report_changes_nothing(ledger: Ledger):
    report = sold(ledger)
    answers = [*ledger.keep_reports([report, report]), *ledger.keep_reports([report])]
    assert [it.repeated for it in answers if isinstance(it, Kept)] == [False, True, True]
    assert kept(ledger) == [(90_000, "due", None, True)]


@pytest.mark.parametrize("together", [False, True])
def test_a_different_report_is_a_correction_and_the_last_one_counts(ledger: Ledger, together: bool):
    """Both are kept; the first one, repeated after it, does not count again."""
    report = sold(ledger)
    never = CallReport("L1", None, 0)
    three = [report, shorter(report), never]
    answers = ledger.keep_reports(three) if together else [ledger.keep_reports([one])[0] for one in three]
    lost = Payout(Standing.LOST, Loss.NOT_FORWARDED)
    assert answers == [
        Kept(DUE, repeated=False, corrects=False),
        Kept(SHORT, repeated=False, corrects=True),
        Kept(lost, repeated=False, corrects=True),
    ]
    assert ledger.keep_reports([report]) == [Kept(DUE, repeated=True, corrects=False)]
    assert ledger.keep_reports([never]) == [Kept(lost, repeated=True, corrects=True)]
    assert kept(ledger) == [
        (90_000, "due", None, False),
        (89_999, "lost", "too short", False),
        (0, "lost", "not forwarded", True),
    ]


def test_one_wrong_report_keeps_nothing_from_those_beside_it(ledger: Ledger):
    good, far = sold(ledger), datetime(2099, 1, 1, tzinfo=UTC)
    bring(ledger, State.UNKNOWN, "L2")
    bring(ledger, State.BID, "L3")
    answers = ledger.keep_reports(
        [
            CallReport("nobody", None, 0),
            CallReport("L2", None, 0),
            CallReport("L3", None, 0),
            CallReport("L1", far, 0),
            CallReport("L1", datetime(2001, 1, 1, tzinfo=UTC), 90_000),
            good,
        ]
    )
    assert answers == [
        Refused("lead_id: no such lead"),
        Refused("lead_id: the lead was not sold (unknown)"),
        Refused("lead_id: the lead was not sold (no outcome yet)"),
        Refused("forwarded_at: in the future"),
        Refused("forwarded_at: before the lead was sold"),
        Kept(DUE, repeated=False, corrects=False),
    ]
    assert len(kept(ledger)) == 1


@pytest.mark.parametrize("status", [status for status in Status if status not in (Status.SOLD, Status.INVALID)])
def test_only_a_sold_lead_has_a_call(ledger: Ledger, status: Status):
    bring(ledger, State(status.value))
    assert ledger.keep_reports([CallReport("L1", None, 0)]) == [Refused(f"lead_id: the lead was not sold ({status})")]


def test_where_the_buyer_told_no_duration_any_call_pays(ledger: Ledger):
    report = sold(ledger)
    with ledger.engine.begin() as connection:
        connection.execute(update(leads).values(duration_s=None))
    (answer,) = ledger.keep_reports([shorter(report, 0)])
    assert isinstance(answer, Kept)
    assert answer.payout == DUE


def test_of_many_intakes_with_different_reports_one_counts(ledger: Ledger, open_ledger: Callable[[], Ledger]):
    """Each is kept once, whoever comes first."""
    report = sold(ledger)
    others = [open_ledger() for _ in range(4)]
    ways = [shorter(report, 80_000 + number // 2) for number in range(8)]
    answers = without_faults(at_once([lambda n=n: others[n % 4].keep_reports([ways[n]]) for n in range(8)]))
    repeated = [it.repeated for (it,) in answers if isinstance(it, Kept)]
    assert sorted(repeated) == [False] * 4 + [True] * 4
    assert sorted(row[0] for row in kept(ledger)) == [80_000, 80_001, 80_002, 80_003]
    assert [row[3] for row in kept(ledger)] == [False, False, False, True]

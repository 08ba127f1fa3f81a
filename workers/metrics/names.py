"""Every metric: its name, what it is, by what it is told apart, who serves it. Documents and tests read this table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

# Seconds. From what a call of ours on the same machine takes to the deadline and the 30 s in which to forward: the
# ping's and the post's timeouts (2 and 8 s) and the deadline (20 s) fall on edges.
BUCKETS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 14.0, 20.0, 30.0)


class Name(StrEnum):
    """Every metric's name."""

    BUILD = "pingpost_build_info"
    RECEIVED = "pingpost_leads_received_total"
    OUTCOMES = "pingpost_outcomes_total"
    PAYOUT = "pingpost_payout_dollars_total"
    LATE = "pingpost_late_outcomes_total"
    LEAD = "pingpost_lead_seconds"
    OWN = "pingpost_own_seconds"
    STEPS = "pingpost_steps_total"
    START = "pingpost_start_seconds"
    CALLS = "pingpost_calls_total"
    REFUSALS = "pingpost_refusals_total"
    BUYER = "pingpost_buyer_seconds"
    UPKEEP = "pingpost_upkeep_total"
    RESUMED = "pingpost_leads_resumed_total"
    SENT = "pingpost_beat_sent_total"
    ALARMS = "pingpost_alarms_total"
    TURNS = "pingpost_gate_turns_total"
    TURNED = "pingpost_gate_turned_timestamp_seconds"
    READABLE = "pingpost_readable"
    OPEN = "pingpost_open_leads"
    OLDEST = "pingpost_oldest_lead_seconds"
    UNTOLD = "pingpost_untold_outcomes"
    OLDEST_UNTOLD = "pingpost_oldest_untold_seconds"
    GATE_CLOSED = "pingpost_gate_closed"
    GATE_OPENS = "pingpost_gate_opens_timestamp_seconds"
    GATE_TURNED_AWAY = "pingpost_gate_turned_away"
    RESET_LATE = "pingpost_reset_late_seconds"
    PACE = "pingpost_pace_calls_per_second"
    QUEUE = "pingpost_queue_messages"


Kind = Literal["counter", "gauge", "histogram"]
Part = Literal["intake", "worker", "beat"]


@dataclass(frozen=True, slots=True)
class Declared:
    """What stands behind a name. `help` is one line, as Prometheus and people read it."""

    kind: Kind
    labels: tuple[str, ...]
    served_by: tuple[Part, ...]
    help: str


_INTAKE: Final[tuple[Part, ...]] = ("intake",)
_WORKERS: Final[tuple[Part, ...]] = ("worker",)
_BEAT: Final[tuple[Part, ...]] = ("beat",)
_ALL: Final = (*_INTAKE, *_WORKERS, *_BEAT)

METRICS: Final[Mapping[Name, Declared]] = {
    Name.BUILD: Declared("gauge", ("version",), _ALL, "1, with the version that runs."),
    Name.RECEIVED: Declared("counter", (), _INTAKE, "Leads that were taken into the ledger; a repetition is none."),
    Name.OUTCOMES: Declared(
        "counter",
        ("status",),
        (*_WORKERS, *_INTAKE),
        "Outcomes, as they are decided; those of invalid leads by the intake.",
    ),
    Name.PAYOUT: Declared(
        "counter",
        ("price", "numcategory"),
        _WORKERS,
        "Dollars of sold leads: price=quoted by the ping, price=confirmed by the post. Leads of test mode bring none.",
    ),
    Name.LATE: Declared("counter", (), _WORKERS, "Sales that were told after forward_by: not forwarded."),
    Name.LEAD: Declared(
        "histogram", ("status",), _WORKERS, "From the front door until the broker had the outcome; waits included."
    ),
    Name.OWN: Declared("histogram", ("status",), _WORKERS, "The same without the time in which the buyer had a call."),
    Name.STEPS: Declared("counter", ("call",), _WORKERS, "Steps that were taken up, whether or not to a call."),
    Name.START: Declared(
        "histogram",
        ("call",),
        _WORKERS,
        "From when a lead was ready for its first call of this kind (taken in; for a post: the bid) until it began.",
    ),
    Name.CALLS: Declared(
        "counter",
        ("call", "result"),
        _WORKERS,
        "Exchanges with the buyer: result is bid, sale, refusal, unreadable or unanswered.",
    ),
    Name.REFUSALS: Declared(
        "counter",
        ("call", "code"),
        _WORKERS,
        "Refusals by the buyer's code; `none` where it gave none, `unlisted` where its page lists no such code.",
    ),
    Name.BUYER: Declared("histogram", ("call",), _WORKERS, "The buyer's time: one exchange, connecting included."),
    Name.UPKEEP: Declared("counter", ("task",), _WORKERS, "Tasks of beat's that were done."),
    Name.RESUMED: Declared("counter", (), _WORKERS, "Leads that stood still and were sent on their way again."),
    Name.SENT: Declared("counter", ("task",), _BEAT, "Tasks that beat has sent on their way."),
    Name.ALARMS: Declared("counter", (), _ALL, "Lines `alarm` that were written to the log."),
    Name.TURNS: Declared(
        "counter",
        ("turn", "kind"),
        _WORKERS,
        "Gates that turned: closed, opened, reset (opened by the buyer's new day: both). By hand: not counted.",
    ),
    Name.TURNED: Declared("gauge", ("turn", "kind"), _WORKERS, "When that happened last; absent until it does."),
    Name.READABLE: Declared("gauge", ("source",), _INTAKE, "1 where a source could be read for this answer, else 0."),
    Name.OPEN: Declared("gauge", ("state",), _INTAKE, "Leads without an outcome, by their state in the ledger."),
    Name.OLDEST: Declared("gauge", ("state",), _INTAKE, "The age of the oldest of them since the front door; 0: none."),
    Name.UNTOLD: Declared("gauge", (), _INTAKE, "Outcomes that the broker has not got yet."),
    Name.OLDEST_UNTOLD: Declared("gauge", (), _INTAKE, "How long the oldest of them has been waiting; 0: none."),
    Name.GATE_CLOSED: Declared(
        "gauge", ("scope", "code"), _INTAKE, "1 for a gate that is closed, 0 for the buyer's gate while it is open."
    ),
    Name.GATE_OPENS: Declared(
        "gauge", ("scope",), _INTAKE, "When a closed gate opens by itself; absent where an operator must open it."
    ),
    Name.GATE_TURNED_AWAY: Declared(
        "gauge", ("scope",), _INTAKE, "Leads that a closed gate has turned away since it was closed."
    ),
    Name.RESET_LATE: Declared(
        "gauge", ("scope",), _INTAKE, "How long after our reset of today the buyer sold again, found out by a probe."
    ),
    Name.PACE: Declared("gauge", (), _INTAKE, "The calls a second that are kept to; absent where no limit is known."),
    Name.QUEUE: Declared("gauge", ("queue",), _INTAKE, "Messages that lie in a queue; not those in somebody's hands."),
}

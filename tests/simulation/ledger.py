"""A ledger in memory: the same answers as the real one's (`test_conformance.py`), a thousand times sooner.

It may be away, and it may commit and lose the answer. Every method stops its strand before and after its transaction.
"""

# ruff: noqa: ARG002 - a model keeps the signatures of what it stands for
from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from sqlalchemy.exc import OperationalError

from tasks.buyers.port import Exchange
from tasks.core.bid import Bid
from tasks.core.caps import Calendar, Day
from tasks.core.protocol import Call
from tasks.core.sale import Sale
from tasks.core.states import State, may_move
from tasks.ledger import Arrival, GateRow, LeadRow, Move, Receipt, Reception, Reply, Reset, Takings, Untold
from tasks.ledger.limits import Take
from tasks.ledger.moves import READY, ForbiddenMove, Unsettled
from tasks.ledger.rows import money, to_ms
from tasks.ledger.statements import CLAIMED
from tests.simulation.strands import Clock, effect

T = TypeVar("T")


@dataclass
class Stored:
    """A lead's row."""

    arrival: Arrival
    received_at: int
    deadline_at: int
    due_at: int
    changed_at: int
    fingerprint: str
    state: State = State.RECEIVED
    epoch: int = 0
    pings: int = 0
    posts: int = 0
    columns: dict[str, Any] = field(default_factory=dict)
    outcome: Mapping[str, Any] | None = None
    ended_at: int | None = None
    logged: bool = False
    told: bool = False


@dataclass(frozen=True)
class Attempt:
    """One exchange as it is kept."""

    lead_id: str
    call: Call
    number: int
    answer: object
    stale: bool


@dataclass
class Waiting:
    """A reply address."""

    reply: Reply
    told: bool = False


class ModelLedger:
    """Stands in for `tasks.ledger.Ledger`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.rows: dict[str, Stored] = {}
        self.attempts: list[Attempt] = []
        self.replies: dict[str, list[Waiting]] = {}
        self.gates: dict[str, GateRow] = {}
        self.resets: dict[tuple[str, str], Reset] = {}
        self.touched: set[str] = set()
        self.away = False
        self.loses_answer = False  # of the next write
        self._back_at = -math.inf

    def come_back(self) -> None:
        """Be there again, if it was away."""
        if self.away:
            self.away, self._back_at = False, self._clock.ms

    @property
    def back_for_s(self) -> float:
        return (self._clock.ms - self._back_at) / 1000

    def _transact(self, name: str, work: Callable[[], T], *, writes: bool = True) -> T:
        effect(f"ledger.{name}")
        if self.away:
            raise _gone()
        result = work()
        if writes and self.loses_answer:
            self.loses_answer = False
            raise _gone()
        effect(f"ledger.{name} done")
        return result

    # The front door

    def accept(self, arrivals: Sequence[Arrival]) -> list[Receipt]:
        return self._transact("accept", lambda: self._accept(arrivals))

    def _accept(self, arrivals: Sequence[Arrival]) -> list[Receipt]:
        new: set[str] = set()
        for arrival in arrivals:
            if arrival.lead.lead_id not in self.rows:
                new.add(arrival.lead.lead_id)
                self._take_in(arrival)
        receipts = []
        for arrival in arrivals:
            lead_id = arrival.lead.lead_id
            row = self.rows[lead_id]
            if lead_id in new:
                new.discard(lead_id)
                receipt = Receipt(Reception.NEW, call=arrival.call)
            else:
                receipt = self._receipt(row, arrival)
            receipts.append(receipt)
            if arrival.reply and (
                receipt.reception is Reception.NEW or (receipt.reception is Reception.OPEN and receipt.replay)
            ):
                waiting = self.replies.setdefault(lead_id, [])
                waiting.append(Waiting(replace(arrival.reply, replayed=receipt.replay, id=len(waiting))))
        return receipts

    def _take_in(self, arrival: Arrival) -> None:
        lead, now = arrival.lead, self._clock.ms
        created = lead.created_at or arrival.sent_at
        begun = now if created is None else min(now, to_ms(created))
        deadline = begun + round(lead.deadline_s * 1000)
        self.rows[lead.lead_id] = Stored(arrival, now, deadline, now, now, lead.fingerprint())
        self.touched.add(lead.lead_id)

    def _receipt(self, row: Stored, arrival: Arrival) -> Receipt:
        if row.fingerprint != arrival.lead.fingerprint():
            return Receipt(Reception.CONFLICT)
        replay = not arrival.redelivered
        if arrival.redelivered and arrival.reply is not None:
            whose = (arrival.reply.address, arrival.reply.correlation_id)
            known = self.replies.get(arrival.lead.lead_id, [])
            replay = all((it.reply.address, it.reply.correlation_id) != whose for it in known)
        if row.outcome is not None:
            return Receipt(Reception.ENDED, replay=replay, outcome=row.outcome)
        stands_still = not replay and row.state is State.RECEIVED
        return Receipt(Reception.OPEN, replay=replay, stands_still=stands_still, call=row.arrival.call)

    def refuse(self, lead_id: str, reason: str) -> None:
        self._transact("refuse", lambda: None)

    # The moves of a lead

    def lead(self, lead_id: str) -> LeadRow | None:
        return self._transact("lead", lambda: self._row(lead_id), writes=False)

    def _row(self, lead_id: str) -> LeadRow | None:
        row = self.rows.get(lead_id)
        if row is None:
            return None
        lead, columns = row.arrival.lead, row.columns
        return LeadRow(
            lead_id=lead_id,
            state=row.state,
            epoch=row.epoch,
            call=row.arrival.call,
            test=row.arrival.test,
            numcategory=lead.numcategory,
            subid=lead.subid,
            customid=lead.customid,
            deadline_ms=row.deadline_at,
            due_ms=row.due_at,
            pings=row.pings,
            posts=row.posts,
            token=columns.get("token"),
            price_quoted=money(columns.get("price_quoted")),
            duration_s=columns.get("duration_s"),
            offered_price=row.arrival.agreed_price,
            last_code=columns.get("last_code"),
            last_reason=columns.get("last_reason"),
            read_ms=self._clock.ms,
            fields=lead.fields,
            read_at=self._clock.monotonic(),
            changed_ms=row.changed_at,
            monotonic=self._clock.monotonic,
        )

    def _standing(self, seen: LeadRow) -> Stored | None:
        row = self.rows[seen.lead_id]
        return row if (row.state, row.epoch) == (seen.state, seen.epoch) else None

    def claim(
        self, row: LeadRow, call: Call, budget_ms: int, take: Take | None = None, *, after: Unsettled | None = None
    ) -> LeadRow | None:
        if row.state is not READY[call] and not (call is Call.PING and row.state is State.PINGING):
            raise ForbiddenMove(f"a {call} from {row.state}")
        if after is not None:
            self._check(after.claimed.state, after.step)

        def work() -> LeadRow | None:
            if after is not None:
                self._settle(after.claimed, after.exchange, after.step)
            return self._claim(row, call, budget_ms)

        return self._transact(f"claim {call}", work)

    def _claim(self, seen: LeadRow, call: Call, budget_ms: int) -> LeadRow | None:
        row = self._standing(seen)
        if row is None or row.deadline_at <= self._clock.ms:
            return None
        row.state, row.epoch, row.due_at = CLAIMED[call], row.epoch + 1, self._clock.ms + budget_ms
        row.changed_at = self._clock.ms
        if call is Call.PING:
            row.pings += 1
        else:
            row.posts += 1
        self.touched.add(seen.lead_id)
        return self._row(seen.lead_id)

    def move(self, row: LeadRow, step: Move) -> bool:
        self._check(row.state, step)
        return self._transact(f"move to {step.target}", lambda: self._move(row, step))

    def _move(self, seen: LeadRow, step: Move) -> bool:
        row = self._standing(seen)
        if row is None:
            return False
        row.state, row.due_at, row.changed_at = step.target, self._clock.ms + step.due_in_ms, self._clock.ms
        row.columns |= step.values
        if step.outcome is not None:
            row.outcome, row.ended_at = step.outcome.message(), to_ms(step.outcome.at)
        self.touched.add(seen.lead_id)
        return True

    def postpone(self, row: LeadRow, due_in_ms: int, values: Mapping[str, Any] | None = None) -> bool:
        return self._transact("postpone", lambda: self._postpone(row, due_in_ms, values or {}))

    def _postpone(self, seen: LeadRow, due_in_ms: int, values: Mapping[str, Any]) -> bool:
        row = self._standing(seen)
        if row is None:
            return False
        row.due_at = self._clock.ms + due_in_ms
        row.columns |= values
        return True

    def settle(self, claimed: LeadRow, exchange: Exchange, step: Move) -> bool:
        self._check(claimed.state, step)
        return self._transact(f"settle {step.target}", lambda: self._settle(claimed, exchange, step))

    def end(self, claimed: LeadRow, exchange: Exchange, step: Move) -> tuple[bool, Untold | None]:
        self._check(claimed.state, step)

        def work() -> tuple[bool, Untold | None]:
            kept = self._settle(claimed, exchange, step)
            return kept, self._untold(claimed.lead_id) if kept and step.outcome else None

        return self._transact(f"settle {step.target}", work)

    def _settle(self, claimed: LeadRow, exchange: Exchange, step: Move) -> bool:
        number = claimed.posts if exchange.call.sells else claimed.pings
        kept = self._move(claimed, step)
        mine = (claimed.lead_id, exchange.call, number)
        if not kept:
            for attempt in self.attempts:
                if (attempt.lead_id, attempt.call, attempt.number) == mine:
                    return not attempt.stale
        self.attempts.append(Attempt(*mine, exchange.answer, stale=not kept))
        row = self.rows[claimed.lead_id]
        if not kept and isinstance(exchange.answer, Sale) and row.state is State.UNKNOWN:
            sale = exchange.answer
            row.columns |= {
                "phone_number": sale.phone_number,
                "price_confirmed": sale.price.micros if sale.price else None,
            }
        self.touched.add(claimed.lead_id)
        return kept

    @staticmethod
    def _check(source: State, step: Move) -> None:
        status = None if step.outcome is None else step.outcome.status.value
        if not may_move(source, step.target) or step.target in CLAIMED.values():
            raise ForbiddenMove(f"{source} → {step.target}")
        if status != (step.target.value if step.target.final else None):
            raise ForbiddenMove(f"{source} → {step.target} with the outcome {status}")

    # What the sweep looks for

    def standing_still(self, *, message_ms: int, call_ms: int, limit: int) -> list[LeadRow]:
        return self._transact("standing_still", lambda: self._still(message_ms, call_ms, limit), writes=False)

    def _still(self, message_ms: int, call_ms: int, limit: int) -> list[LeadRow]:
        now, found = self._clock.ms, []
        for lead_id, row in self.rows.items():
            if row.state.final:
                continue
            waits = row.state in (State.RECEIVED, State.BID)
            late = row.due_at < now - (message_ms if waits else call_ms)
            if late or (waits and row.deadline_at < now):
                found.append((waits, row.due_at, lead_id))
        rows = [self._row(lead_id) for _, _, lead_id in sorted(found)[:limit]]
        return [row for row in rows if row is not None]

    # Outcomes on their way

    def untold_of(self, lead_id: str) -> Untold | None:
        return self._transact("untold_of", lambda: self._untold(lead_id), writes=False)

    def _untold(self, lead_id: str) -> Untold | None:
        row = self.rows[lead_id]
        if row.outcome is None:
            return None
        waiting = tuple(it.reply for it in self.replies.get(lead_id, []) if not it.told)
        return Untold(
            lead_id, row.outcome, waiting, self._clock.ms, row.received_at, 0, logged=row.logged, first=not row.told
        )

    def untold(self, *, older_than_ms: int, limit: int) -> list[Untold]:
        return self._transact("untold", lambda: self._all_untold(older_than_ms, limit), writes=False)

    def _all_untold(self, older_than_ms: int, limit: int) -> list[Untold]:
        ripe = self._clock.ms - older_than_ms
        ended = [(row.ended_at, lead_id) for lead_id, row in self.rows.items() if row.ended_at and row.ended_at < ripe]
        found = []
        for _, lead_id in sorted(ended):
            untold = self._untold(lead_id)
            if untold is not None and (untold.replies or not self.rows[lead_id].told):
                found.append(untold)
        return found[:limit]

    def mark_told(self, told: Untold) -> None:
        self._transact("mark_told", lambda: self._mark_told(told))

    mark_told_soon = mark_told  # soon enough: whatever comes between the two may come before both

    def _mark_told(self, told: Untold) -> None:
        row = self.rows[told.lead_id]
        row.told = row.logged = True
        for reply in told.replies:
            self.replies[told.lead_id][reply.id or 0].told = True

    def mark_logged(self, lead_id: str) -> None:
        self._transact("mark_logged", lambda: setattr(self.rows[lead_id], "logged", True))

    mark_logged_soon = mark_logged

    # Gates

    def now_ms(self) -> int:
        return self._transact("now", lambda: self._clock.ms, writes=False)

    def closed_gates(self) -> list[GateRow]:
        return self._transact("closed_gates", lambda: [self.gates[scope] for scope in sorted(self.gates)], writes=False)

    def close_gate(self, gate: GateRow) -> bool:
        return self._transact("close_gate", lambda: self._close_gate(gate))

    def _close_gate(self, gate: GateRow) -> bool:
        known = self.gates.get(gate.scope)
        if known is None:
            self.gates[gate.scope] = gate
            return True
        if known.until_ms is None and (gate.code is not None or known.code is None):
            return False
        kept = {"since_ms": known.since_ms, "turned_away": known.turned_away}
        if gate.until_ms is not None:
            kept |= {"probe_ms": known.probe_ms, "probes": known.probes}
        self.gates[gate.scope] = replace(gate, **kept)
        return gate.until_ms is None

    def probed(self, scope: str, again_ms: int) -> None:
        def try_again() -> None:
            known = self.gates.get(scope)
            if known is not None and known.probe_ms is not None:
                tried = {"probe_ms": again_ms, "probes": known.probes + 1, "heard_ms": self._clock.ms}
                self.gates[scope] = replace(known, **tried)

        self._transact("probed", try_again)

    def end_gate(self, gate: GateRow, day: Day) -> Reset | None:
        return self._transact("end_gate", lambda: self._end_gate(gate, day))

    def _end_gate(self, gate: GateRow, day: Day) -> Reset | None:
        known = self.gates.get(gate.scope)
        if known is None or known.since_ms != gate.since_ms or known.until_ms is None:
            return None
        del self.gates[gate.scope]
        begins, ends = to_ms(day.begins), to_ms(day.ends)
        brought = Takings(0, 0)
        reset = Reset(day.date.isoformat(), gate.scope, begins, ends, gate.since_ms, gate.turned_away, brought)
        self.resets[reset.day, reset.scope] = reset
        return reset

    def end_days(self, calendar: Calendar) -> list[Reset]:
        return []

    def unlogged_resets(self, *, older_than_ms: int) -> list[Reset]:
        return []

    def mark_resets_logged(self, logged: Sequence[Reset]) -> None:
        self._transact("mark_resets_logged", lambda: None)

    def last_resets(self, scopes: Sequence[str]) -> dict[str, Reset]:
        found = sorted(self.resets.values(), key=lambda reset: reset.ends_ms)
        return self._transact("last_resets", lambda: {it.scope: it for it in found if it.scope in scopes}, writes=False)

    def has_sold(self, scope: str, since_ms: int) -> bool:
        return self._transact("has_sold", lambda: False, writes=False)

    def takings(self, scope: str, begins_ms: int, ends_ms: int) -> Takings:
        return self._transact("takings", lambda: Takings(0, 0), writes=False)

    def other_source_sells(self, subid: str, since_ms: int) -> bool:
        return self._transact("other_source_sells", lambda: False, writes=False)

    def sold_again(self, scope: str) -> None:
        self._transact("sold_again", lambda: None)

    def open_gate(self, scope: str, *, by_probe: bool = False) -> bool:
        def forget() -> bool:
            known = self.gates.get(scope)
            if known is None or (by_probe and known.probe_ms is None):
                return False
            del self.gates[scope]
            return True

        return self._transact("open_gate", forget)

    def turn_away(self, scope: str) -> None:
        def count() -> None:
            if scope in self.gates:
                known = self.gates[scope]
                self.gates[scope] = replace(known, turned_away=known.turned_away + 1)

        self._transact("turn_away", count)


def facts_of(attempt: Attempt) -> tuple[str | None, int | None]:
    """Give the token and the price, in micro-dollars, that an attempt keeps."""
    answer = attempt.answer
    if not isinstance(answer, Bid | Sale):
        return None, None
    return answer.token, answer.price.micros if answer.price else None


def _gone() -> OperationalError:
    return OperationalError("", {}, Exception("gone"), connection_invalidated=True)

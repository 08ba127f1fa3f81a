"""The simulation's ledger answers as the real one does, whatever is done to both."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from sqlalchemy import event

from tasks.core.outcome import Status
from tasks.core.protocol import Call
from tasks.core.reasons import Answer, Refusal, Unanswered
from tasks.core.states import State
from tasks.ledger import GateRow, LeadRow, Ledger, Move, Receipt, Untold, migrate
from tasks.ledger.moves import READY, ForbiddenMove
from tasks.ledger.rows import from_ms
from tests.ledger.stories import BID, SALE, arrival, bid_move, exchange, outcome, sold
from tests.simulation.ledger import ModelLedger
from tests.simulation.strands import Clock

IDS = st.sampled_from(["A", "B"])
ANSWERS: list[Answer] = [BID, SALE, Refusal(1000), Unanswered("reset")]
TARGETS = [state for state in State if state not in (State.PINGING, State.POSTING)]
SCOPES = st.sampled_from(["category:16001", "buyer"])
Pair = tuple[LeadRow, LeadRow]


def told_by(clock: Clock) -> Callable[..., None]:
    """Let SQLite tell the model's time."""

    def connect(connection: Any, _record: object) -> None:
        def julianday(_now: str) -> float:
            return 2440587.5 + (clock.ms + 0.5) / 86_400_000

        connection.create_function("julianday", 1, julianday)

    return connect


def same(real: LeadRow | None, model: LeadRow | None) -> bool:
    if real is None or model is None:
        return real is model
    compared = [name for name in LeadRow._fields if name not in ("read_at", "monotonic")]
    return [getattr(real, name) for name in compared] == [getattr(model, name) for name in compared]


def plain(untold: Untold | None) -> object:
    """What of an untold outcome does not depend on how addresses are numbered."""
    if untold is None:
        return None
    addresses = [(it.address, it.correlation_id, it.replayed) for it in untold.replies]
    times = (untold.now_ms, untold.received_ms)
    return untold.lead_id, dict(untold.outcome), addresses, times, untold.logged, untold.first


class Both(RuleBasedStateMachine):
    """The same done to both, and every answer compared."""

    empty: Path
    rows: Bundle[Pair] = Bundle("rows")

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="pingpost-")
        path = Path(self.folder.name) / "ledger.sqlite3"
        shutil.copy(self.empty, path)
        self.clock = Clock()
        self.real = Ledger.open(f"sqlite:///{path}")
        event.listen(self.real.engine, "connect", told_by(self.clock))
        self.model = ModelLedger(self.clock)

    def teardown(self) -> None:
        if hasattr(self, "real"):
            self.real.close()
            self.folder.cleanup()

    @rule(ms=st.sampled_from([1, 700, 6_000, 21_000]))
    def time_passes(self, ms: int) -> None:
        self.clock.ms += ms

    @rule(
        sent=st.lists(
            st.tuples(IDS, st.sampled_from([None, "r1", "r2"]), st.booleans(), st.sampled_from(["33139", "33140"])),
            min_size=1,
            max_size=3,
        ),
        call=st.sampled_from([Call.PING, Call.ONE_STEP]),
    )
    def arrive(self, sent: list[tuple[str, str | None, bool, str]], call: Call) -> None:
        arrivals = [
            arrival(lead_id, call, reply=reply, redelivered=redelivered, zipcode=zipcode)
            for lead_id, reply, redelivered, zipcode in sent
        ]
        real: list[Receipt] = self.real.accept(arrivals)
        assert real == self.model.accept(arrivals)

    @rule(target=rows, lead_id=IDS)
    def read(self, lead_id: str) -> Any:
        real, model = self.real.lead(lead_id), self.model.lead(lead_id)
        assert same(real, model)
        return (real, model)

    @rule(target=rows, pair=rows, call=st.sampled_from(list(Call)))
    def claim(self, pair: Pair, call: Call) -> Any:
        real, model = pair
        if real is None:
            return pair
        if real.state is not READY[call] and (call, real.state) != (Call.PING, State.PINGING):
            with pytest.raises(ForbiddenMove):
                self.model.claim(model, call, 5_000)
            return pair
        claims = (self.real.claim(real, call, 5_000), self.model.claim(model, call, 5_000))
        assert same(*claims)
        return pair if claims[0] is None else claims

    @rule(pair=rows, to=st.sampled_from(TARGETS), due_in_ms=st.sampled_from([0, 900]))
    def move(self, pair: Pair, to: State, due_in_ms: int) -> None:
        if pair[0] is not None:
            step = replace(self._step(pair[0], to), due_in_ms=due_in_ms)
            assert self._answer(lambda: self.real.move(pair[0], step)) == self._answer(
                lambda: self.model.move(pair[1], step)
            )

    @rule(pair=rows, to=st.sampled_from(TARGETS), answer=st.sampled_from(ANSWERS), times=st.sampled_from([1, 2]))
    def settle(self, pair: Pair, to: State, answer: Answer, times: int) -> None:
        if pair[0] is None or pair[0].state not in (State.PINGING, State.POSTING):
            return
        made = exchange(Call.PING if pair[0].state is State.PINGING else Call.POST, answer)
        step = self._step(pair[0], to)
        for _ in range(times):  # a commit that was in doubt is written once more
            assert self._answer(lambda: self.real.settle(pair[0], made, step)) == self._answer(
                lambda: self.model.settle(pair[1], made, step)
            )

    @rule(pair=rows, due_in_ms=st.sampled_from([0, 2_000, 40_000]), code=st.sampled_from([None, 1000]))
    def postpone(self, pair: Pair, due_in_ms: int, code: int | None) -> None:
        if pair[0] is not None:
            values = {"last_code": code, "last_reason": "why"} if code else {}
            assert self.real.postpone(pair[0], due_in_ms, values) == self.model.postpone(pair[1], due_in_ms, values)

    @rule(message_ms=st.sampled_from([0, 5_000]), call_ms=st.sampled_from([0, 3_000]), limit=st.sampled_from([1, 10]))
    def sweep(self, message_ms: int, call_ms: int, limit: int) -> None:
        asked = {"message_ms": message_ms, "call_ms": call_ms, "limit": limit}
        real, model = self.real.standing_still(**asked), self.model.standing_still(**asked)
        if limit > 1:  # which of two equally old ones comes first is nobody's business
            assert {row.lead_id for row in real} == {row.lead_id for row in model}
        assert len(real) == len(model)

    @rule(lead_id=IDS, tell=st.booleans(), log=st.booleans())
    def tell(self, lead_id: str, tell: bool, log: bool) -> None:
        if lead_id not in self.model.rows:
            return
        real, model = self.real.untold_of(lead_id), self.model.untold_of(lead_id)
        assert plain(real) == plain(model)
        if real is None or model is None:
            return
        if log:
            self.real.mark_logged(lead_id)
            self.model.mark_logged(lead_id)
        if tell:
            self.real.mark_told(real)
            self.model.mark_told(model)
        assert plain(self.real.untold_of(lead_id)) == plain(self.model.untold_of(lead_id))

    @rule(older_than_ms=st.sampled_from([-1, 3_000]))
    def untold(self, older_than_ms: int) -> None:
        real = self.real.untold(older_than_ms=older_than_ms, limit=10)
        model = self.model.untold(older_than_ms=older_than_ms, limit=10)
        assert sorted(map(plain, real), key=str) == sorted(map(plain, model), key=str)

    @rule(scope=SCOPES, until_in_ms=st.sampled_from([None, 5_000]), code=st.sampled_from([None, 4000]))
    def close(self, scope: str, until_in_ms: int | None, code: int | None) -> None:
        assert self.real.now_ms() == self.model.now_ms() == self.clock.ms
        gate = GateRow(scope, code, "why", self.clock.ms, None if until_in_ms is None else self.clock.ms + until_in_ms)
        assert self.real.close_gate(gate) == self.model.close_gate(gate)
        assert self.real.closed_gates() == self.model.closed_gates()

    @rule(scope=SCOPES, turn_away=st.booleans())
    def open(self, scope: str, turn_away: bool) -> None:
        if turn_away:
            self.real.turn_away(scope)
            self.model.turn_away(scope)
        else:
            assert self.real.open_gate(scope) == self.model.open_gate(scope)
        assert self.real.closed_gates() == self.model.closed_gates()

    def _step(self, row: LeadRow, to: State) -> Move:
        at = from_ms(self.clock.ms)
        if to is State.BID and row.state is State.PINGING:
            return bid_move()
        if to is State.SOLD:
            made = sold(row)
            return replace(made, outcome=outcome(row, at=at, price_confirmed=SALE.price))
        return Move(to, outcome=outcome(row, Status(to.value), at=at) if to.final else None)

    @staticmethod
    def _answer(do: Callable[[], bool]) -> bool | str:
        try:
            return do()
        except ForbiddenMove as forbidden:
            return str(forbidden)


def test_both_ledgers_answer_the_same(tmp_path: Path) -> None:
    """Leads, claims, moves, sweeps, outcomes and gates, in any order."""
    empty_ledger = tmp_path / "empty.sqlite3"
    migrate(f"sqlite:///{empty_ledger}")

    class Compared(Both):
        empty = empty_ledger

    run_state_machine_as_test(
        Compared,
        settings=settings(
            max_examples=200, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_both_know_a_late_answer_again(tmp_path: Path) -> None:
    """A rare history, told on purpose: a ping that was overtaken is settled, and settled again."""
    url = f"sqlite:///{tmp_path / 'ledger.sqlite3'}"
    migrate(url)
    real = Ledger.open(url)
    for ledger in (real, ModelLedger(Clock())):
        ledger.accept([arrival("A")])
        slow = ledger.claim(ledger.lead("A"), Call.PING, 5_000)  # type: ignore[arg-type]  # it is there
        ledger.claim(ledger.lead("A"), Call.PING, 5_000)  # type: ignore[arg-type]  # as above
        assert slow is not None
        late = [ledger.settle(slow, exchange(Call.PING, BID), bid_move()) for _ in range(2)]
        assert late == [False, False]
    real.close()

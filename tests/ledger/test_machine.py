"""Any history of a lead, in any order and with any number of old copies, obeys the table of states."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tasks.core.outcome import Status
from tasks.core.protocol import Call
from tasks.core.reasons import Answer, Refusal, Unanswered
from tasks.core.states import MOVES, State, may_move
from tasks.ledger import LeadRow, Ledger, Move
from tasks.ledger.moves import CLAIMED, READY, ForbiddenMove
from tests.ledger.stories import BID, BUDGET_MS, SALE, attempts_of, columns, exchange, outcome, take_in

TARGETS = sorted(set(MOVES) - set(CLAIMED.values()))
ANSWERS: list[Answer] = [BID, SALE, Refusal(1000), Refusal(5000, "No coverage"), Unanswered("reset")]


def step_to(row: LeadRow, target: State) -> Move:
    return Move(target, outcome=outcome(row, Status(target.value)) if target.final else None)


class Lead(RuleBasedStateMachine):
    """A lead, and workers that hold rows of it, as old as may be."""

    empty: Path
    rows: Bundle[LeadRow] = Bundle("rows")

    @initialize(target=rows, call=st.sampled_from([Call.PING, Call.ONE_STEP, Call.DIRECT_POST]))
    def begin(self, call: Call) -> LeadRow:
        self.folder = tempfile.TemporaryDirectory(prefix="pingpost-")
        path = Path(self.folder.name) / "ledger.sqlite3"
        shutil.copy(self.empty, path)
        self.ledger = Ledger.open(f"sqlite:///{path}")
        row = take_in(self.ledger, call=call)
        self.state, self.epoch, self.claims, self.settled = row.state, row.epoch, 0, set[tuple[str, int]]()
        self.outcome: str | None = None
        return row

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.ledger.close()
            self.folder.cleanup()

    @rule(target=rows)
    def read(self) -> LeadRow:
        row = self.ledger.lead("L1")
        assert row is not None
        return row

    @rule(target=rows, row=rows, call=st.sampled_from(list(Call)))
    def claim(self, row: LeadRow, call: Call) -> LeadRow:
        if row.state is not READY[call] and (call, row.state) != (Call.PING, State.PINGING):
            with pytest.raises(ForbiddenMove):
                self.ledger.claim(row, call, BUDGET_MS)
            return row
        mine = self.ledger.claim(row, call, BUDGET_MS)
        assert (mine is not None) == ((row.state, row.epoch) == (self.state, self.epoch))
        if mine is None:
            return row
        self.claims += 1
        self.state, self.epoch = CLAIMED[call], self.epoch + 1
        assert (mine.state, mine.epoch) == (self.state, self.epoch)
        return mine

    @rule(row=rows, to=st.sampled_from(TARGETS))
    def move(self, row: LeadRow, to: State) -> None:
        step = step_to(row, to)
        if not may_move(row.state, to):
            with pytest.raises(ForbiddenMove):
                self.ledger.move(row, step)
            return
        self._moved(row, step, done=self.ledger.move(row, step))

    @rule(row=rows, to=st.sampled_from(TARGETS), answer=st.sampled_from(ANSWERS))
    def settle(self, row: LeadRow, to: State, answer: Answer) -> None:
        if row.state not in CLAIMED.values() or not may_move(row.state, to):
            return
        call = Call.PING if row.state is State.PINGING else Call.POST
        step = step_to(row, to)
        number = (call.value, row.pings if call is Call.PING else row.posts)
        kept = self.ledger.settle(row, exchange(call, answer), step)
        if number in self.settled:
            return  # the same call once more: it answers what it answered
        self.settled.add(number)
        self._moved(row, step, done=kept)

    def _moved(self, row: LeadRow, step: Move, *, done: bool) -> None:
        assert done == ((row.state, row.epoch) == (self.state, self.epoch))
        if done:
            self.state = step.target
            if step.outcome is not None:
                assert self.outcome is None, "a second outcome"
                self.outcome = step.outcome.status.value

    @invariant()
    def the_row_is_where_the_moves_left_it(self) -> None:
        if not hasattr(self, "ledger"):
            return
        row: dict[str, Any] = columns(self.ledger)
        assert (row["state"], row["epoch"], row["status"]) == (self.state.value, self.epoch, self.outcome)
        assert (row["outcome"] is None) == (self.outcome is None) == (not self.state.final)
        assert row["pings"] + row["posts"] == self.claims == self.epoch
        made = [(attempt["call"], attempt["number"]) for attempt in attempts_of(self.ledger)]
        assert sorted(made) == sorted(self.settled), "each settled call is one attempt"


def test_any_history_obeys_the_table_of_states(migrated_sqlite: Path):
    class Copied(Lead):
        empty = migrated_sqlite

    run_state_machine_as_test(
        Copied,
        settings=settings(
            max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )

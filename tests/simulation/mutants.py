"""Rules of the product, each broken on purpose: a simulation that does not notice is worth nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest.mock import patch

from greenlet import getcurrent

from tasks import outbox, results, steps, upkeep
from tasks.core import verdict
from tasks.core.outcome import Stage, Status
from tasks.core.protocol import Call
from tasks.core.reasons import Unanswered
from tasks.core.states import State
from tasks.core.verdict import Again, Delay
from tasks.ledger import LeadRow, Move
from tasks.services import Services
from tests.simulation.broker import Posted
from tests.simulation.ledger import ModelLedger
from tests.simulation.world import World


@contextmanager
def a_claim_wins_wherever_the_lead_stands() -> Iterator[None]:
    """The claim before a call is no conditional UPDATE."""

    def standing(self: ModelLedger, seen: LeadRow) -> Any:
        return self.rows[seen.lead_id]

    claim = ModelLedger._claim

    def wins(self: ModelLedger, seen: LeadRow, call: Call, budget_ms: int) -> LeadRow | None:
        with patch.object(ModelLedger, "_standing", standing):
            return claim(self, seen, call, budget_ms)

    with patch.object(ModelLedger, "_claim", wins):
        yield


@contextmanager
def a_post_goes_out_before_its_claim_is_committed() -> Iterator[None]:
    """What a crash leaves behind is a lead that still has its bid."""
    claim = ModelLedger._claim

    def uncommitted(self: ModelLedger, seen: LeadRow, call: Call, budget_ms: int) -> LeadRow | None:
        row = self.rows[seen.lead_id]
        before = (row.state, row.epoch, row.due_at, row.posts)
        claimed = claim(self, seen, call, budget_ms)
        if claimed is not None and call.sells:
            row.state, row.epoch, row.due_at, row.posts = before
        return claimed

    with patch.object(ModelLedger, "_claim", uncommitted):
        yield


@contextmanager
def a_message_that_comes_again_posts_again() -> Iterator[None]:
    """`posting` is taken for a step that a dead worker left."""
    is_ready = steps._is_ready
    claim = ModelLedger.claim

    def ready(row: LeadRow, call: Call, *, redelivered: bool) -> bool:
        return is_ready(row, call, redelivered=redelivered) or (
            call.sells and row.state is State.POSTING and redelivered
        )

    def anew(self: ModelLedger, row: LeadRow, call: Call, budget_ms: int) -> LeadRow | None:
        if row.state is State.POSTING:
            return self._transact("claim", lambda: self._claim(row, call, budget_ms))
        return claim(self, row, call, budget_ms)

    with patch.object(steps, "_is_ready", ready), patch.object(ModelLedger, "claim", anew):
        yield


@contextmanager
def a_post_without_an_answer_is_tried_again() -> Iterator[None]:
    """A reset after the first byte is taken for a connection that never opened."""
    judge = verdict.judge

    def hopeful(call: Call, answer: Any, *rest: Any) -> Any:
        if call.sells and isinstance(answer, Unanswered):
            return Again(Delay.BACKOFF, answer.why)
        return judge(call, answer, *rest)

    with patch.object(steps, "judge", hopeful):
        yield


@contextmanager
def the_sweep_posts_what_stands_still_in_posting() -> Iterator[None]:
    """The lead goes back to its bid, as a ping does."""
    mend = upkeep.mend

    def back(services: Services, row: LeadRow) -> None:
        if row.state is not State.POSTING:
            mend(services, row)
        elif services.ledger.move(row, Move(State.RECEIVED if row.call.sells else State.BID)):
            upkeep.sale_of(row.lead_id, row.call if row.call.sells else Call.POST).apply_async()

    with patch.object(upkeep, "mend", back):
        yield


@contextmanager
def the_sweep_expires_what_stands_still_in_posting() -> Iterator[None]:
    """The deadline has passed, so there is no sale."""
    mend = upkeep.mend

    def expire(services: Services, row: LeadRow) -> None:
        if row.state is State.POSTING:
            steps.end(services, row, Status.EXPIRED, Stage.POST, "too late")
        else:
            mend(services, row)

    with patch.object(upkeep, "mend", expire):
        yield


@contextmanager
def a_late_answer_replaces_the_outcome() -> Iterator[None]:
    """A result is written whatever has become of its claim."""
    settle = ModelLedger._settle

    def always(self: ModelLedger, claimed: LeadRow, exchange: Any, step: Move) -> bool:
        with patch.object(ModelLedger, "_standing", lambda self, seen: self.rows[seen.lead_id]):
            return settle(self, claimed, exchange, step)

    with patch.object(ModelLedger, "_settle", always):
        yield


@contextmanager
def an_outcome_counts_as_told_before_it_is() -> Iterator[None]:
    """It is marked first, and told then."""

    def hasty(services: Services, untold: Any, mark: Any) -> None:
        mark(untold)
        outbox._tell_all(services, untold, outbox.from_ms(untold.now_ms))

    with patch.object(outbox, "_tell", hasty):
        yield


@contextmanager
def a_line_that_a_crash_swallowed_is_never_written() -> Iterator[None]:
    """The sweep tells, and does not log."""

    def silent(services: Services, untold: Any) -> None:
        outbox._tell(services, untold, services.ledger.mark_told)

    with patch.object(upkeep, "tell_again", silent):
        yield


@contextmanager
def nobody_looks_for_leads_that_stand_still() -> Iterator[None]:
    """A message that the broker loses is the end of it."""
    with patch.object(ModelLedger, "_still", lambda *_: []):
        yield


@contextmanager
def the_front_door_acknowledges_before_it_commits() -> Iterator[None]:
    """A crash in between loses the lead."""
    receive = World._receive

    def hasty(self: World, message: Posted, process: Any) -> None:
        self.broker.ack(message)
        receive(self, message, process)

    with patch.object(World, "_receive", hasty):
        yield


@contextmanager
def the_log_line_is_written_after_the_commit() -> Iterator[None]:
    """A crash in between leaves a token in the ledger that stands on no line."""
    log_call, persist = steps._log_call, steps._persist
    late: dict[object, tuple[Any, ...]] = {}

    def put_off(*line: Any) -> None:
        late[getcurrent()] = line

    def first(services: Services, write: Callable[[], Any]) -> Any:
        written = persist(services, write)
        if (line := late.pop(getcurrent(), None)) is not None:
            log_call(*line)
        return written

    with patch.object(steps, "_log_call", put_off), patch.object(steps, "_persist", first):
        yield


@contextmanager
def a_sale_s_price_is_the_bid_s() -> Iterator[None]:
    """The payout that is written down is the one that was quoted."""
    columns = results._sale_columns

    def quoted(call: Call, sale: Any) -> Mapping[str, Any]:
        return {**columns(call, sale), "price_confirmed": 9_000_000}

    with patch.object(results, "_sale_columns", quoted):
        yield


MUTANTS: tuple[Callable[[], AbstractContextManager[None]], ...] = (
    a_claim_wins_wherever_the_lead_stands,
    a_post_goes_out_before_its_claim_is_committed,
    a_message_that_comes_again_posts_again,
    a_post_without_an_answer_is_tried_again,
    the_sweep_posts_what_stands_still_in_posting,
    the_sweep_expires_what_stands_still_in_posting,
    a_late_answer_replaces_the_outcome,
    an_outcome_counts_as_told_before_it_is,
    a_line_that_a_crash_swallowed_is_never_written,
    nobody_looks_for_leads_that_stand_still,
    the_front_door_acknowledges_before_it_commits,
    the_log_line_is_written_after_the_commit,
    a_sale_s_price_is_the_bid_s,
)

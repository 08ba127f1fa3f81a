"""The ledger: the one source of truth about every lead."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from tasks.absence import Absence
from tasks.buyers.port import Exchange
from tasks.core.callreport import CallReport
from tasks.core.caps import Calendar, Day
from tasks.core.protocol import Call
from tasks.ledger import (
    archive,
    backlog,
    callreports,
    closures,
    frontdoor,
    limits,
    moves,
    outbox,
    resets,
    retention,
    stillness,
    takings,
)
from tasks.ledger.away import keeps_from_writing, why_away
from tasks.ledger.backlog import Backlog
from tasks.ledger.commit import LARGEST_GROUP, GroupCommit
from tasks.ledger.engine import empty_the_log, is_sqlite, open_engine, open_reader
from tasks.ledger.kept import Kept
from tasks.ledger.limits import LimitReached, Take, Used
from tasks.ledger.moves import Move, Unsettled
from tasks.ledger.rows import Arrival, GateRow, LeadRow, Receipt, Reset, Takings, Untold
from tasks.ledger.schema import leads
from tasks.ledger.version import require, version
from tasks.together import Together, Turn

T = TypeVar("T")

LedgerError = SQLAlchemyError


class Ledger:
    """Reads and atomic moves, on SQLite or PostgreSQL. Safe under threads; one a process."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._commit = GroupCommit(engine)
        # Lines that are not known to be written, of outcomes that are being told.
        self._lines: dict[str, None] = {}
        self._resting: Together[str, None] = Together(self._mark_lines, LARGEST_GROUP)
        self._reader = Kept(lambda: open_reader(engine))
        self._reading = threading.Lock()
        self._absence = Absence("ledger")
        self._fits = False
        self._read_only = False

    @classmethod
    def open(cls, url: str) -> Ledger:
        """Open the ledger at `url`. Without the tables that are needed (`migrate`) it counts as away."""
        return cls(open_engine(url))

    def close(self) -> None:
        """Write what is still to be written, and let the connections go."""
        self._resting.flush()
        self._commit.close()
        with self._reading:
            self._reader.hang_up()
        self.engine.dispose()

    @property
    def back_for_s(self) -> float:
        """For how long this process has had the ledger again after an absence (`Absence.back_for_s`)."""
        return self._absence.back_for_s

    def read(self, work: Callable[[Connection], T], *, one_moment: bool = False) -> T:
        """Run a read. It sees what is committed and waits for nobody; with `one_moment`, all as it was at its start."""
        return self._watched(lambda: self._read(work, one_moment=one_moment))

    def _watched(self, read: Callable[[], T]) -> T:
        """Read. A connection that the server closed meanwhile is replaced, once."""
        # From a disk that is full one can read all day long: only a write shows that it is not.
        with self._absence.watch(why_away, proof=not self._read_only):
            self._require_tables()
            try:
                return read()
            except DBAPIError as fault:
                if not fault.connection_invalidated:
                    raise
                return read()

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run a write in a transaction that it may share with others (`GroupCommit.write`). Durable when it returns."""
        with self._absence.watch(why_away):
            self._require_tables()
            try:
                done = self._commit.write(work)
            except SQLAlchemyError as fault:
                self._read_only = keeps_from_writing(fault)
                raise
            self._read_only = False
            return done

    def _require_tables(self) -> None:
        if not self._fits:
            require(self._read(version))
            self._fits = True

    def _read(self, work: Callable[[Connection], T], *, one_moment: bool = False) -> T:
        if is_sqlite(self.engine):  # whose reads are of one moment in any case
            with self.engine.connect().execution_options(reads=True) as connection:
                return work(connection)
        alone = "REPEATABLE READ" if one_moment else "AUTOCOMMIT"
        with self.engine.connect().execution_options(isolation_level=alone) as connection:
            return work(connection)

    def _glance(self, work: Callable[[Connection], T]) -> T:
        """Run a read of a single prepared statement, on the connection that is kept for that."""
        with self._reading:
            try:
                return work(self._reader.get())
            except BaseException:
                self._reader.hang_up()
                raise

    def accept(self, arrivals: Sequence[Arrival]) -> list[Receipt]:
        """Take a batch of leads in. Committed when it returns."""
        return self.write(lambda connection: frontdoor.accept(connection, arrivals))

    def refuse(self, lead_id: str, reason: str) -> None:
        """Remember a lead that was invalid."""
        self.write(lambda connection: frontdoor.refuse(connection, lead_id, reason))

    def keep_reports(self, reports: Sequence[CallReport]) -> list[callreports.Kept | callreports.Refused]:
        """Keep a batch of reports of calls (`callreports.keep`). Committed when it returns."""
        return self.write(lambda connection: callreports.keep(connection, reports))

    def lead(self, lead_id: str) -> LeadRow | None:
        """Read a lead as it stands."""
        return self._watched(lambda: self._glance(lambda connection: moves.read(connection, lead_id)))

    def claim(
        self, row: LeadRow, call: Call, budget_ms: int, take: Take | None = None, *, after: Unsettled | None = None
    ) -> LeadRow | LimitReached | None:
        """Begin a call (`moves.claim`), together with what the call before it brought. Durable when it returns."""

        def work(connection: Connection) -> LeadRow | LimitReached | None:
            if after is not None:
                if take is None and after.claimed.taken is None:
                    both = moves.carry_on(connection, after, row, call, budget_ms)
                    if both is not None:
                        return both
                moves.settle(connection, after.claimed, after.exchange, after.step)
            return moves.claim(connection, row, call, budget_ms, take)

        return self.write(work)

    def move(self, row: LeadRow, step: Move) -> bool:
        """Make a move without a call (`moves.move`)."""
        return self.write(lambda connection: moves.move(connection, row, step))

    def postpone(self, row: LeadRow, due_in_ms: int, values: Mapping[str, Any] | None = None) -> bool:
        """Say when a waiting lead's next step is due (`moves.postpone`)."""
        return self.write(lambda connection: moves.postpone(connection, row, due_in_ms, values or {}))

    def settle(self, claimed: LeadRow, exchange: Exchange, step: Move) -> bool:
        """Write what a call brought (`moves.settle`). False: the lead had moved on."""
        return self.write(lambda connection: moves.settle(connection, claimed, exchange, step))

    def end(self, claimed: LeadRow, exchange: Exchange, step: Move) -> tuple[bool, Untold | None]:
        """Write what a call brought (`moves.settle`); if that is its outcome, give it with who waits for it."""

        def work(connection: Connection) -> tuple[bool, Untold | None]:
            kept = moves.settle(connection, claimed, exchange, step)
            return kept, outbox.untold_of(connection, claimed.lead_id) if kept and step.outcome else None

        return self.write(work)

    def untold_of(self, lead_id: str) -> Untold | None:
        """Read one lead's outcome and who waits for it."""
        return self.read(lambda connection: outbox.untold_of(connection, lead_id))

    def untold(self, *, older_than_ms: int, limit: int) -> list[Untold]:
        """Read outcomes that were not told (`outbox.untold`)."""
        return self.read(lambda connection: outbox.untold(connection, older_than_ms=older_than_ms, limit=limit))

    def mark_told(self, told: Untold) -> None:
        """Remember that an outcome was told."""
        self.write(lambda connection: outbox.mark_told(connection, told))

    def mark_told_soon(self, told: Untold) -> None:
        """Remember it in a moment, at no cost of its own. Should that fail, the outcome is told once more."""
        self._lines.pop(told.lead_id, None)
        self._commit.soon(lambda connection: outbox.mark_told(connection, told))

    def mark_logged_soon(self, lead_id: str) -> None:
        """Remember in a moment that an outcome is in the log, unless by then it is told, which says so, too.

        Should that fail, its line stands there twice.
        """
        self._lines[lead_id] = None
        self._resting.soon(lead_id)

    def _mark_lines(self, turns: Sequence[Turn[str, None]]) -> None:
        for turn in turns:
            if turn.item in self._lines:
                del self._lines[turn.item]
                self._commit.soon(partial(outbox.mark_logged, lead_id=turn.item))
            turn.end()

    def mark_logged(self, lead_id: str) -> None:
        """Remember that an outcome is in the log (`outbox.mark_logged`)."""
        self.write(lambda connection: outbox.mark_logged(connection, lead_id))

    def standing_still(self, *, message_ms: int, call_ms: int, limit: int) -> list[LeadRow]:
        """Read the leads that the sweep must see to (`stillness.standing_still`)."""
        return self.read(
            lambda connection: stillness.standing_still(connection, message_ms=message_ms, call_ms=call_ms, limit=limit)
        )

    def backlog(self) -> Backlog:
        """Count what is open, and what is not told (`backlog.backlog`)."""
        return self.read(backlog.backlog)

    def erase_identity(self, *, older_than_ms: int, limit: int) -> int:
        """Erase the identity of old leads (`retention.erase`). Gives how many."""
        return self.write(lambda connection: retention.erase(connection, older_than_ms=older_than_ms, limit=limit))

    def old_attempts(self, *, older_than_ms: int, after: archive.Place | None, limit: int) -> archive.Batch | None:
        """Read the attempts of leads that ended so long ago (`archive.old`)."""
        return self.read(
            lambda connection: archive.old(connection, older_than_ms=older_than_ms, after=after, limit=limit),
            one_moment=True,
        )

    def remove_attempts(self, batch: archive.Batch) -> int:
        """Remove attempts that stand in a file (`archive.remove`)."""
        return self.write(lambda connection: archive.remove(connection, batch))

    def checkpoint(self) -> None:
        """Let what was erased leave SQLite's log, too. Elsewhere, that is the database's own business."""
        if is_sqlite(self.engine):
            empty_the_log(self.engine)

    def now_ms(self) -> int:
        """Read the database's clock."""
        return self.read(closures.now)

    def closed_gates(self) -> list[GateRow]:
        """Read the gates that are remembered as closed."""
        return self.read(closures.closed)

    def close_gate(self, gate: GateRow) -> bool:
        """Remember a closed gate (`closures.close`). False: it was closed already."""
        return self.write(lambda connection: closures.close(connection, gate))

    def probed(self, scope: str, again_ms: int) -> None:
        """Remember that a closed gate was tried in vain (`closures.probed`)."""
        self.write(lambda connection: closures.probed(connection, scope, again_ms))

    def end_gate(self, gate: GateRow, day: Day) -> Reset | None:
        """Open a gate whose day is over (`resets.end_gate`). None: somebody else did."""
        return self.write(lambda connection: resets.end_gate(connection, gate, day))

    def end_days(self, calendar: Calendar) -> list[Reset]:
        """Keep the buyer's days that are over (`resets.end_days`)."""
        if not self.read(lambda connection: resets.over(connection, calendar)):
            return []
        return self.write(lambda connection: resets.end_days(connection, calendar))

    def unlogged_resets(self, *, older_than_ms: int) -> list[Reset]:
        """Read resets that a crash may have kept out of the log (`resets.unlogged`)."""
        return self.read(lambda connection: resets.unlogged(connection, older_than_ms=older_than_ms))

    def mark_resets_logged(self, logged: Sequence[Reset]) -> None:
        """Remember that resets stand in the log."""
        self.write(lambda connection: resets.mark_logged(connection, logged))

    def last_resets(self, scopes: Sequence[str]) -> dict[str, Reset]:
        """Read the last reset of each scope that has one."""
        return self.read(lambda connection: resets.latest(connection, scopes))

    def late_resets(self, since_ms: int) -> list[Reset]:
        """Read the resets since then that the buyer was later with (`resets.late`)."""
        return self.read(lambda connection: resets.late(connection, since_ms))

    def has_sold(self, scope: str, since_ms: int) -> bool:
        """Read whether anything was sold in this scope (`takings.has_sold`)."""
        return self.read(lambda connection: takings.has_sold(connection, scope, since_ms))

    def other_source_sells(self, subid: str, since_ms: int) -> bool:
        """Read whether the buyer still buys of another sub source (`takings.other_source_sells`)."""
        return self.read(lambda connection: takings.other_source_sells(connection, subid, since_ms))

    def takings(self, scope: str, begins_ms: int, ends_ms: int) -> Takings:
        """Add up what was sold in a scope (`takings.takings`)."""
        return self.read(lambda connection: takings.takings(connection, scope, begins_ms, ends_ms))

    def limits_used(self, day: str) -> dict[str, Used]:
        """Read what has been taken from an operator's own limits in a day, by scope."""
        return self.read(lambda connection: limits.used(connection, day))

    def limit_reached(self, wanted: Take) -> LimitReached | None:
        """Ask whether an own limit would refuse a claim, before anything else is spent on it (`limits.take`)."""
        if not self.read(lambda connection: limits.is_full(connection, wanted)):
            return None
        return self.write(lambda connection: limits.turn_away(connection, wanted))

    def sold_again(self, scope: str) -> None:
        """Remember when the buyer sold again (`resets.sold_again`)."""
        self.write(lambda connection: resets.sold_again(connection, scope))

    def open_gate(self, scope: str, *, by_probe: bool = False) -> bool:
        """Forget a gate (`closures.open_`). False: it was not remembered as closed, so somebody else opened it."""
        return self.write(lambda connection: closures.open_(connection, scope, by_probe=by_probe))

    def turn_away(self, scope: str) -> None:
        """Count a lead that a closed gate turned away (`closures.turn_away`)."""
        self.write(lambda connection: closures.turn_away(connection, scope))


__all__ = ["Ledger", "LedgerError", "Move", "leads"]

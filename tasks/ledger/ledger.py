"""The ledger: the one source of truth about every lead."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, delete, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from tasks.buyers.port import Exchange
from tasks.core.protocol import Call
from tasks.ledger import frontdoor, moves, outbox, stillness
from tasks.ledger.commit import GroupCommit
from tasks.ledger.engine import is_sqlite, open_engine
from tasks.ledger.moves import Move
from tasks.ledger.rows import Arrival, GateRow, LeadRow, Receipt, Untold
from tasks.ledger.schema import gates, leads

T = TypeVar("T")

LedgerError = SQLAlchemyError


class Ledger:
    """Reads and atomic moves, on SQLite or PostgreSQL. Safe under threads; one a process."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._commit = GroupCommit(engine)

    @classmethod
    def open(cls, url: str) -> Ledger:
        """Open the ledger at `url`. Its tables must exist (`migrate`)."""
        return cls(open_engine(url))

    def close(self) -> None:
        """Let the connections go."""
        self.engine.dispose()

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run a read. It sees what is committed and waits for nobody.

        A connection that the server closed meanwhile is replaced, once.
        """
        try:
            return self._read(work)
        except DBAPIError as fault:
            if not fault.connection_invalidated:
                raise
            return self._read(work)

    def _read(self, work: Callable[[Connection], T]) -> T:
        if is_sqlite(self.engine):
            with self.engine.connect().execution_options(reads=True) as connection:
                return work(connection)
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            return work(connection)

    def accept(self, arrivals: Sequence[Arrival]) -> list[Receipt]:
        """Take a batch of leads in. Committed when it returns."""
        return self._commit.write(lambda connection: frontdoor.accept(connection, arrivals))

    def refuse(self, lead_id: str, reason: str) -> None:
        """Remember a lead that was invalid."""
        self._commit.write(lambda connection: frontdoor.refuse(connection, lead_id, reason))

    def lead(self, lead_id: str) -> LeadRow | None:
        """Read a lead as it stands."""
        return self.read(lambda connection: moves.read(connection, lead_id))

    def claim(self, row: LeadRow, call: Call, budget_ms: int) -> LeadRow | None:
        """Begin a call (`moves.claim`). Durable when it returns."""
        return self._commit.write(lambda connection: moves.claim(connection, row, call, budget_ms))

    def move(self, row: LeadRow, step: Move) -> bool:
        """Make a move without a call (`moves.move`)."""
        return self._commit.write(lambda connection: moves.move(connection, row, step))

    def postpone(self, row: LeadRow, due_in_ms: int, values: Mapping[str, Any] | None = None) -> bool:
        """Say when a waiting lead's next step is due (`moves.postpone`)."""
        return self._commit.write(lambda connection: moves.postpone(connection, row, due_in_ms, values or {}))

    def settle(self, claimed: LeadRow, exchange: Exchange, step: Move) -> bool:
        """Write what a call brought (`moves.settle`). False: the lead had moved on."""
        return self._commit.write(lambda connection: moves.settle(connection, claimed, exchange, step))

    def untold_of(self, lead_id: str) -> Untold | None:
        """Read one lead's outcome and who waits for it."""
        return self.read(lambda connection: outbox.untold_of(connection, lead_id))

    def untold(self, *, older_than_ms: int, limit: int) -> list[Untold]:
        """Read outcomes that were not told (`outbox.untold`)."""
        return self.read(lambda connection: outbox.untold(connection, older_than_ms=older_than_ms, limit=limit))

    def mark_told(self, told: Untold) -> None:
        """Remember that an outcome was told."""
        self._commit.write(lambda connection: outbox.mark_told(connection, told))

    def mark_logged(self, lead_id: str) -> None:
        """Remember that an outcome is in the log (`outbox.mark_logged`)."""
        self._commit.write(lambda connection: outbox.mark_logged(connection, lead_id))

    def standing_still(self, *, message_ms: int, call_ms: int, limit: int) -> list[LeadRow]:
        """Read the leads that the sweep must see to (`stillness.standing_still`)."""
        return self.read(
            lambda connection: stillness.standing_still(connection, message_ms=message_ms, call_ms=call_ms, limit=limit)
        )

    def closed_gates(self) -> list[GateRow]:
        """Read the gates that are remembered as closed."""
        return self.read(stillness.closed_gates)

    def close_gate(self, gate: GateRow) -> None:
        """Remember a closed gate; a gate that is closed already keeps its `since`."""

        def work(connection: Connection) -> None:
            values: dict[str, Any] = {"code": gate.code, "reason": gate.reason, "until": gate.until_ms}
            known = connection.execute(update(gates).where(gates.c.scope == gate.scope).values(values))
            if known.rowcount == 0:
                dialect = _dialect(connection)
                statement = dialect.insert(gates).values(scope=gate.scope, since=gate.since_ms, turned_away=0, **values)
                connection.execute(statement.on_conflict_do_nothing())

        self._commit.write(work)

    def open_gate(self, scope: str) -> bool:
        """Forget a gate. False: it was not remembered as closed, so somebody else opened it."""

        def work(connection: Connection) -> bool:
            return connection.execute(delete(gates).where(gates.c.scope == scope)).rowcount == 1

        return self._commit.write(work)


def _dialect(connection: Connection) -> Any:
    from sqlalchemy.dialects import postgresql, sqlite  # noqa: PLC0415 - one of the two is needed, and rarely

    return sqlite if connection.dialect.name == "sqlite" else postgresql


__all__ = ["Ledger", "LedgerError", "Move", "leads"]

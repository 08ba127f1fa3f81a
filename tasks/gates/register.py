"""Which gates are closed: the ledger says, whatever has become of the state store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tasks.gates.port import Capped
from tasks.ledger import GateRow, Ledger
from tasks.ledger.rows import from_ms

TEST: Final = "test/"  # the ledger is one for live and test: a gate met in test closes no live one


class Register:
    """The closed gates of live or of test mode. Every method may raise `LedgerError`."""

    def __init__(self, ledger: Ledger, *, test: bool) -> None:
        self._ledger = ledger
        self._prefix = TEST if test else ""

    def closed(self) -> tuple[Sequence[GateRow], Sequence[GateRow]]:
        """Give the gates that are closed, and those whose time is over and which nobody has opened yet."""
        rows = [
            self._mine(row) for row in self._ledger.closed_gates() if row.scope.startswith(TEST) == bool(self._prefix)
        ]
        now = self._ledger.now_ms() if rows else 0
        over = [row for row in rows if row.until_ms is not None and row.until_ms <= now]
        return [row for row in rows if row not in over], over

    def ask(self, scope: str) -> Capped | None:
        """Ask whether a gate is closed; a lead that is turned away from it is counted."""
        for row in self.closed()[0]:
            if row.scope == scope:
                self._ledger.turn_away(self._prefix + scope)
                return Capped(scope, row.code, row.reason, None if row.until_ms is None else from_ms(row.until_ms))
        return None

    def close(self, scope: str, code: int | None, reason: str, until_ms: int | None) -> GateRow | None:
        """Close a gate, and give it as it stands; None: it was closed already."""
        row = GateRow(self._prefix + scope, code, reason, self._ledger.now_ms(), until_ms)
        return self._mine(row) if self._ledger.close_gate(row) else None

    def open(self, scope: str) -> bool:
        """Open a gate. False: it was not closed, or somebody else opened it."""
        return self._ledger.open_gate(self._prefix + scope)

    def _mine(self, row: GateRow) -> GateRow:
        scope = row.scope.removeprefix(TEST)
        return GateRow(scope, row.code, row.reason, row.since_ms, row.until_ms, row.turned_away)

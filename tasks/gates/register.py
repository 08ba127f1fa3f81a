"""Which gates are closed: the ledger says, whatever has become of the state store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from tasks.core.caps import Calendar, Day
from tasks.gates.port import Closed
from tasks.ledger import GateRow, Ledger, Reset, Takings
from tasks.ledger.rows import from_ms, to_ms

TEST: Final = "test/"  # the ledger is one for live and test: a gate met in test closes no live one
# So soon after the buyer's day began, a cap that is met with nothing sold may be the day before's.
EARLY_MS: Final = 3_600_000
LONGEST_PROBE_MS: Final = 86_460_000  # a day and a minute: what may be set, and what clocks may differ
CLOCKS_APART_MS: Final = 60_000


class Register:
    """The closed gates of live or of test mode. Every method may raise `LedgerError`."""

    def __init__(self, ledger: Ledger, calendar: Calendar, *, test: bool) -> None:
        self._ledger = ledger
        self._calendar = calendar
        self._prefix = TEST if test else ""

    def closed(self) -> tuple[Sequence[GateRow], Sequence[GateRow]]:
        """Give the gates that are closed, and those whose time is over and which nobody has opened yet."""
        rows = [row for row in self._ledger.closed_gates() if row.scope.startswith(TEST) == bool(self._prefix)]
        now = self._ledger.now_ms() if rows else 0
        rows = [self._mine(row, now) for row in rows]
        over = [row for row in rows if row.until_ms is not None and row.until_ms <= now]
        return [row for row in rows if row not in over], over

    def ask(self, scopes: Iterable[str]) -> Closed | None:
        """Ask whether one of these gates is closed; a lead that is turned away from it is counted.

        Nobody tries a closed gate by this word: only the store can let one lead alone pass.
        """
        asked = set(scopes)
        for row in self.closed()[0]:
            if row.scope in asked:
                self._ledger.turn_away(self._prefix + row.scope)
                return Closed(row.scope, row.code, row.reason, None if row.until_ms is None else from_ms(row.until_ms))
        return None

    def draft(
        self, scope: str, code: int | None, reason: str, until_ms: int | None, probe_s: float | None = None
    ) -> GateRow:
        """Give a gate as it will stand when it is closed now."""
        now = self._ledger.now_ms()
        probe_ms = None if probe_s is None else now + round(probe_s * 1000)
        by_the_day = until_ms is not None
        return GateRow(
            scope,
            code,
            reason,
            since_ms=now,
            until_ms=until_ms,
            heard_ms=now if by_the_day else None,
            calendar=str(self._calendar) if by_the_day else None,
            probe_ms=probe_ms,
        )

    def close(self, row: GateRow) -> tuple[bool, GateRow | None]:
        """Close a gate. Gives whether that is new, and the gate as it stands now."""
        new = self._ledger.close_gate(replace(row, scope=self._prefix + row.scope))
        return new, self.find(row.scope)

    def probed(self, scope: str, after: Callable[[int], float]) -> GateRow | None:
        """Remember that a lead tried a closed gate in vain. Gives the gate as it stands; None: it is open."""
        row = self.find(scope)
        if row is None or row.probe_ms is None:  # closed for good meanwhile: what this lead heard is of before
            return row
        again_ms = self._ledger.now_ms() + round(after(row.probes + 1) * 1000)
        self._ledger.probed(self._prefix + scope, again_ms)
        return self.find(scope)

    def find(self, scope: str) -> GateRow | None:
        """Give one closed gate; None: it is not closed."""
        return next((row for row in self.closed()[0] if row.scope == scope), None)

    def open(self, scope: str, *, by_probe: bool = False) -> bool:
        """Open a gate, by a probe only if it is to be tried. False: it was not closed, or somebody else opened it."""
        if not self._ledger.open_gate(self._prefix + scope, by_probe=by_probe):
            return False
        if by_probe:
            self._ledger.sold_again(self._prefix + scope)
        return True

    def end(self, row: GateRow, turned_away: int) -> Reset | None:
        """Open a gate whose day is over, and keep what that day brought. None: somebody else did."""
        ends = from_ms(row.until_ms or row.since_ms)
        heard = min(from_ms(row.heard_ms or row.since_ms), ends - timedelta(milliseconds=1))
        day = self._calendar.day(heard)
        over = Day(day, min(self._calendar.begins(day), heard), ends)
        return self._ledger.end_gate(replace(row, scope=self._prefix + row.scope, turned_away=turned_away), over)

    def end_days(self) -> list[Reset]:
        """Keep the buyer's days that are over, whatever was closed in them. Days of test mode bring nothing."""
        return [] if self._prefix else self._ledger.end_days(self._calendar)

    def late(self) -> list[Reset]:
        """Give the resets that began the buyer's day and that the buyer was later with."""
        now = from_ms(self._ledger.now_ms())
        begins = to_ms(self._calendar.begins(self._calendar.day(now)))
        found = self._ledger.late_resets(begins)
        mine = [it for it in found if it.scope.startswith(TEST) == bool(self._prefix)]
        return [replace(it, scope=it.scope.removeprefix(TEST)) for it in mine]

    def takings(self, row: GateRow) -> Takings:
        """Add up what a closed gate's scope has brought on the buyer's day."""
        now = self._ledger.now_ms()
        begins = to_ms(self._calendar.begins(self._calendar.day(from_ms(now))))
        return self._ledger.takings(self._prefix + row.scope, begins, now)

    def unlogged(self, older_than_ms: int) -> list[Reset]:
        """Give what was kept so long ago and may not stand in the log."""
        return self._ledger.unlogged_resets(older_than_ms=older_than_ms)

    def logged(self, resets: Sequence[Reset]) -> None:
        """Remember that these stand in the log."""
        self._ledger.mark_resets_logged(resets)

    def is_doubtful(self, scope: str) -> bool:
        """Whether a cap that is met now may still be yesterday's.

        It is where nothing was sold yet on the buyer's day, and the day has just begun, or began with a reset here.
        """
        now = self._ledger.now_ms()
        begins = to_ms(self._calendar.begins(self._calendar.day(from_ms(now))))
        last = self._ledger.last_resets([self._prefix + scope]).get(self._prefix + scope)
        if now - begins >= EARLY_MS and (last is None or last.ends_ms < begins):
            return False
        return not self._ledger.has_sold(self._prefix + scope, begins)

    def _mine(self, row: GateRow, now: int) -> GateRow:
        """Give a gate as this mode knows it, its end reckoned by the calendar in force."""
        row = replace(row, scope=row.scope.removeprefix(TEST))
        # What lies too far ahead was written by a clock that has been set back since.
        if row.probe_ms is not None and row.probe_ms > now + LONGEST_PROBE_MS:
            row = replace(row, probe_ms=now)
        if row.heard_ms is None or row.until_ms is None:
            return row
        if row.calendar == str(self._calendar) and row.heard_ms <= now + CLOCKS_APART_MS:
            return row
        # The operator has changed the buyer's zone or hour: the cap's day is still the one in which it was met.
        heard_ms = min(row.heard_ms, now)
        return replace(row, heard_ms=heard_ms, until_ms=to_ms(self._calendar.ends(from_ms(heard_ms))))

"""What the buyer refuses whoever asks: maintenance (1000), the rate limit (1100), daily caps (4000).

Clocks are given: `now` is seconds of a steady clock, `today` the buyer's date.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date

from ops.sandbox.rulebook import Call
from ops.sandbox.scenario import Cap, Maintenance, RateLimit


class Windows:
    """Maintenance windows, counted from the moment at which the scenario began."""

    def __init__(self, windows: tuple[Maintenance, ...], began: float) -> None:
        self._windows = windows
        self._began = began
        self._calls = [0] * len(windows)

    def closed_by(self, call: Call, now: float) -> Maintenance | None:
        """Return the window that this call falls into; the call counts for each window that counts calls."""
        found = None
        for n, window in enumerate(self._windows):
            if window.call and call not in window.call:
                continue
            self._calls[n] += 1
            if window.first_calls is not None:
                inside = self._calls[n] <= window.first_calls
            else:
                inside = 0 <= now - self._began - window.start_s < (window.length_s or 0)
            if inside and found is None:
                found = window
        return found


class Pace:
    """A bucket of calls that fills at `calls_per_s` and holds `burst` (without one: a second's worth, at least one)."""

    def __init__(self, limit: RateLimit, now: float) -> None:
        self._rate = limit.calls_per_s
        self._burst = limit.burst or max(1.0, limit.calls_per_s)
        self._left = self._burst
        self._at = now

    def takes(self, now: float) -> bool:
        """Take one call, or say no."""
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Caps:
    """Sales of the buyer's day, per cap and scope."""

    def __init__(self, caps: tuple[Cap, ...]) -> None:
        self._caps = [(cap, frozenset(cap.numcategory)) for cap in caps]
        self._sold: Counter[tuple[int, str]] = Counter()
        self._day = date.min

    def reached(self, fields: Mapping[str, str], today: date) -> bool:
        """Say whether one more sale would be over any cap."""
        self._turn_to(today)
        return any(
            self._sold[n, _scope(cap, fields)] >= cap.count
            for n, (cap, categories) in enumerate(self._caps)
            if not categories or fields["numcategory"] in categories
        )

    def count(self, fields: Mapping[str, str], today: date) -> None:
        """Count a sale."""
        self._turn_to(today)
        for n, (cap, categories) in enumerate(self._caps):
            if not categories or fields["numcategory"] in categories:
                self._sold[n, _scope(cap, fields)] += 1

    def new_day(self) -> None:
        """Forget the day's sales, as the buyer does at its midnight."""
        self._sold.clear()

    def _turn_to(self, today: date) -> None:
        if today != self._day:
            self._day = today
            self._sold.clear()


def _scope(cap: Cap, fields: Mapping[str, str]) -> str:
    match cap.per:
        case "partner":
            return fields["partnerid"]
        case "category":
            return fields["numcategory"]
        case "subid":
            return fields["subid"]

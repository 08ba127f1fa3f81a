"""The buyer's door: what turns a call away before anyone looks at the deal, in the order in which it is looked at.

Maintenance, rate limit, credentials, fields, test mode.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ops.sandbox.limits import Pace, Windows
from ops.sandbox.rulebook import CREDENTIALS, Call, Findings, Rulebook
from ops.sandbox.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Refusal:
    """A no: the code, words of our own where the code's do not say enough, and how long to wait, in seconds."""

    code: int
    reason: str | None = None
    retry_after_s: float | None = None


class Door:
    """The door of one scenario; `began` is the steady clock's second at which the scenario began."""

    def __init__(self, scenario: Scenario, rulebook: Rulebook, began: float) -> None:
        self._scenario = scenario
        self._rulebook = rulebook
        self._windows = Windows(scenario.maintenance, began)
        self._pace = Pace(scenario.rate_limit, began) if scenario.rate_limit is not None else None

    def refusal(self, call: Call, fields: Mapping[str, str], findings: Findings | None, now: float) -> Refusal | None:
        """Return why a call is turned away, or None."""
        if (window := self._windows.closed_by(call, now)) is not None:
            return Refusal(1000, retry_after_s=window.retry_after_s)
        limit = self._scenario.rate_limit
        if self._pace is not None and limit is not None and not self._pace.takes(now):
            return Refusal(1100, retry_after_s=limit.retry_after_s)
        if not self._knows(fields):
            return Refusal(2000)
        if findings is not None and (findings.missing or findings.ill_formed):
            words = [f"{name} is missing" for name in findings.missing]
            words += [f"{name} is ill-formed" for name in findings.ill_formed]
            return Refusal(self._scenario.invalid_code, "; ".join(words))
        if self.is_test(fields) and fields["subid"] != self._rulebook.test_subid:
            return Refusal(5000)
        return None

    def is_test(self, fields: Mapping[str, str]) -> bool:
        """Say whether the call is made in test mode."""
        return fields["key"] == self._rulebook.test_key

    def _knows(self, fields: Mapping[str, str]) -> bool:
        partner, key = (fields.get(name, "") for name in CREDENTIALS)
        if not partner or not key:
            return False
        partners = self._scenario.partners
        return not partners or (partner in partners and key in (partners[partner], self._rulebook.test_key))

"""Rules made ready: which of the scenario's rules a call meets, counted and drawn by seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from random import Random

from ops.sandbox.rulebook import Call
from ops.sandbox.scenario import Counted, Rule, Scenario


class Rules:
    """The scenario's rules, in order, by call."""

    def __init__(self, scenario: Scenario) -> None:
        compiled = [_Compiled(rule, Random(f"{scenario.seed}:{n}")) for n, rule in enumerate(scenario.rules)]  # noqa: S311  # chance to be repeated, not a secret
        self._by_call = {call: [one for one in compiled if call in (one.rule.call or Call)] for call in Call}

    def find(self, call: Call, fields: Mapping[str, str]) -> Rule | None:
        """Return the first rule that the call meets; a call counts for each rule whose other matchers it meets."""
        for compiled in self._by_call[call]:
            if compiled.meets(fields):
                return compiled.rule
        return None


class _Compiled:
    """One rule with its counters."""

    __slots__ = ("_categories", "_counts", "_nth", "_prefixes", "_random", "_subids", "_zipcodes", "rule")

    def __init__(self, rule: Rule, random: Random) -> None:
        self.rule = rule
        self._categories = frozenset(rule.numcategory)
        self._subids = frozenset(rule.subid)
        self._zipcodes = frozenset(zipcode for zipcode in rule.zipcode if not zipcode.endswith("*"))
        self._prefixes = tuple(zipcode[:-1] for zipcode in rule.zipcode if zipcode.endswith("*"))
        self._nth = frozenset(rule.nth)
        self._counts: Counter[str] = Counter()
        self._random = random

    def meets(self, fields: Mapping[str, str]) -> bool:
        if self._categories and fields["numcategory"] not in self._categories:
            return False
        if self._zipcodes or self._prefixes:
            zipcode = fields["zipcode"]
            if zipcode not in self._zipcodes and not zipcode.startswith(self._prefixes):
                return False
        if self._subids and fields["subid"] not in self._subids:
            return False
        return self._is_its_turn(fields) and self._is_drawn()

    def _is_its_turn(self, fields: Mapping[str, str]) -> bool:
        if not self._nth and self.rule.first is None:
            return True
        who = counted_by(self.rule.per, fields)
        self._counts[who] += 1
        count = self._counts[who]
        return count in self._nth or (self.rule.first is not None and count <= self.rule.first)

    def _is_drawn(self) -> bool:
        return self.rule.share is None or self._random.random() < self.rule.share


def counted_by(per: Counted, fields: Mapping[str, str]) -> str:
    """Return what a call is counted under. A ping names no lead, so there `lead` falls back to its zip code."""
    if per == "all":
        return ""
    if per == "lead":
        return fields.get("customid") or fields.get("token") or fields["zipcode"]
    return fields.get(per, "")

"""The gates in Redis or Valkey: one atomic script to ask, one to report, so that all workers see the same buyer."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any, Final, Protocol, cast

from redis import Redis

from tasks.gates.line import Line, Question, Script
from tasks.gates.port import PACE_SCOPE, Admission, Ask, Closed, Gate, Go, Heard, Probe, Wait
from tasks.ledger.rows import GateRow, from_ms

# How long all workers wait after each 1000, 1100 or silence in a row. The longest keeps a minute of maintenance under
# 20 calls, and full speed within 5 s of its end.
HOLD_MS: Final = {
    Heard.WAIT: (1000, 3000, 4800, 4800),
    Heard.NOTHING: (500, 1000, 2000, 4000, 4800),
    Heard.SLOW: (250, 500, 1000, 2000, 3200),
    Heard.GARBLED: (1000, 3000, 4800, 4800),  # to a call that tries whether one of the others is over
}
COLD_PLACES: Final = 2
COLD_MS: Final = 300
IDLE_MS: Final = 2_000
POLL_MS: Final = 60
LONGEST_POLL_MS: Final = 600
NARROW_PLACES: Final = 4
WIDE_PLACES: Final = 64
# So many calls without an answer in a row, and no good one for so long, are as good as a 1000; or so many more.
SILENT_RUN: Final = 20
SILENT_MS: Final = 2_000
LONG_SILENT_RUN: Final = 60
# What was noted for longer than this was noted by a clock that has been set back since.
LONGEST_RETRY_AFTER_S: Final = 30.0
LONGEST_HOLD_MS: Final = 31_000
LONGEST_CALL_MS: Final = 300_000
# How much later than it was told to a lead may come back for its turn to try a gate, before another takes it.
PROBER_LATE_MS: Final = 2_000
ROOM_MS: Final = 900_000
# The pace under a rate limit (pace.lua, heard.lua). Of what the buyer took when it refused: where the pace falls to,
# and where it rests. Seconds until it is there again, and for which it rests. How it grows after that, and while the
# limit is searched for.
CUT: Final = 0.9
REST: Final = 0.985
RAMP_S: Final = 10
REST_S: Final = 50
SHORT_REST_S: Final = 8
FIRST_STEP: Final = 0.005
STEP_GROWTH: Final = 1.09
SEARCH_GROWTH: Final = 1.12
SEARCH_SLOW_S: Final = 4  # after so many seconds it grows three times as fast, in the logarithm
FIRST_CALLS: Final = 20  # so few answers do not tell what a buyer takes
SLOWEST: Final = 0.5  # calls a second
SLOWEST_SOFT: Final = 5
SLOWEST_FIRST: Final = 20  # where no more is known than one refusal; half of it after each that came all the same
FRESH_MS: Final = 2_000
BEST_S: Final = 60  # how long the most that the buyer took in a second is remembered
SPARED_MS: Final = 20_000  # how seldom a refusal is taken for none of pace
# A buyer that refuses a part of all calls, at whatever pace, has other reasons than the pace. After so many refusals in
# a row, each within so many calls and at a pace that it had just taken, calls go freely on trial: until more are
# refused than that part and its chance explain (or than the most that is borne), or none has been for so long. After a
# trial that showed a limit there is none for a while.
VAIN_CUTS: Final = 4
VAIN_CALLS: Final = 300
TRIAL_CALLS: Final = 60
TRIAL_SLACK: Final = 3
TRIAL_MOST: Final = 0.5
TRIAL_MEMORY: Final = 0.99
WHIM_MS: Final = 60_000
NO_WHIM_MS: Final = 10_000
FREE_RATE: Final = 2_000  # calls a second at which no limit counts as known
LIMITED_MS: Final = 100  # from how long a wait on it counts as one that tries it
# Of a spaced stream: how many unused calls may be made up for, how many calls ahead a sale may go, and how close one
# may come behind another, as a part of their distance.
SLACK_CALLS: Final = 2
AHEAD_CALLS: Final = 2
CLOSEST: Final = 0.75

_CONSTANTS: Final = {
    name: value for name, value in globals().items() if name.isupper() and isinstance(value, int | float)
}


class Store(Protocol):
    """What all workers of one partner, live or test, know together. Every method may raise `RedisError`."""

    def admit(self, ask: Ask, ticket: str) -> Admission:
        """Ask for a call, and take its place in flight under `ticket`."""
        ...

    def heard(
        self, ticket: str, heard: Heard, *, code: int | None, reason: str, retry_after_s: float | None
    ) -> Turned | None:
        """Report a call. Gives how the buyer's gate turned, where it did."""
        ...

    def heard_well(self, ticket: str, then: Callable[[Turned | None], None]) -> None:
        """Report in a moment that a call went well; `then` is handed how the buyer's gate turned. Never raises."""
        ...

    def flush(self) -> None:
        """Report now what was to be reported in a moment. Never raises."""
        ...

    def leave(self, lead_id: str) -> None:
        """Give up a lead's place in the waiting room."""
        ...

    def put(self, rows: Sequence[GateRow]) -> None:
        """Close these gates here too. One that is closed already keeps its count and its `since`."""
        ...

    def forget(self, scopes: Sequence[str]) -> None:
        """Open gates."""
        ...

    def scopes(self) -> frozenset[str]:
        """Give the scopes whose gates are closed here."""
        ...

    def turned_away(self, scope: str) -> int:
        """Give how many leads a closed gate has turned away here."""
        ...

    def pace(self) -> Gate:
        """Give the gate that maintenance, silence and the rate limit close for all."""
        ...

    def open_pace(self) -> bool:
        """Let calls go at once, whatever was heard. False: nothing held them back."""
        ...


Turned = tuple[str, int, int | None, str]
"""``closed`` with until when, or ``opened`` with since when, in ms; the code and the reason of a closed one."""


class RedisStore:
    """See `Store`: in Redis or Valkey.

    `ceiling` is the most calls a second, 0 for none. `now_ms` stands in for the server's clock; `chance` gives a number
    from 0 up to 1.
    """

    def __init__(
        self,
        store: Redis,
        *,
        partner_id: str,
        test: bool,
        ceiling: float = 0,
        now_ms: Callable[[], int] = lambda: 0,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._store = store  # decodes what it reads
        self._ceiling = ceiling
        self._now = now_ms
        self._chance = chance
        self._prefix = f"pingpost:{partner_id}:{'test' if test else 'live'}:"
        self._admit = Script(_script("pace.lua", "admit.lua"))
        self._heard = Script(_script("pace.lua", "heard.lua"))
        self._line = Line(store)
        self._put = store.register_script(_script("put.lua"))
        self._pace = f"{self._prefix}pace"
        self._flight = f"{self._prefix}flight"
        self._room = f"{self._prefix}room"
        self._leaving = f"{self._prefix}leaving"
        self._scopes = f"{self._prefix}scopes"

    def admit(self, ask: Ask, ticket: str) -> Admission:
        """See `Store.admit`."""
        keys = (self._pace, self._flight, self._room, self._leaving, *map(self._gate, ask.scopes))
        told = (ticket, ask.lead_id, int(ask.sells), ask.budget_ms, ask.patience_ms, self._ceiling)
        match self._line.ask(Question(self._admit, keys, (self._now(), *told))):
            case ["go", began, *probed]:
                tried = zip(probed[::2], probed[1::2], strict=True)
                probes = tuple(Probe(ask.scopes[place - 1], _number(code)) for place, code in tried)
                return Go(f"{ticket}/{began}", probes)
            case ["wait", ms, code, reason, rate]:
                if rate:
                    # Each lead that the pace keeps waiting has a time of its own.
                    return Wait(int(ms) / 1000, f"the pace is {rate} calls a second", _number(code))
                # A little more than is left, each lead its own: they need not all come at the same moment.
                spread = 1 + 0.25 * self._chance()
                return Wait(int(ms) / 1000 * spread + 0.005, reason or "the buyer is being tried", _number(code))
            case ["closed", place, code, reason, until]:
                closes = int(float(until))
                return Closed(ask.scopes[place - 1], _number(code), reason, from_ms(closes) if closes else None)
            case other:
                raise AssertionError(f"admit.lua answered {other}")

    def heard(
        self, ticket: str, heard: Heard, *, code: int | None, reason: str, retry_after_s: float | None
    ) -> Turned | None:
        """See `Store.heard`."""
        return _turned(self._line.ask(self._report(ticket, heard, code, reason, retry_after_s)))

    def heard_well(self, ticket: str, then: Callable[[Turned | None], None]) -> None:
        """See `Store.heard_well`."""
        question = self._report(ticket, Heard.WELL, None, "", None)
        self._line.tell(question._replace(then=lambda answer: then(_turned(answer))))

    def _report(
        self, ticket: str, heard: Heard, code: int | None, reason: str, retry_after_s: float | None
    ) -> Question:
        ticket, _, began = ticket.partition("/")  # one that was given out without the store has no beginning
        growth = ""
        if heard in HOLD_MS:
            jitter = 0.95 + 0.05 * self._chance()
            growth = ",".join(str(round(ms * jitter)) for ms in HOLD_MS[heard])
        wish = round(max(retry_after_s, 0.1) * 1000) if retry_after_s is not None else 0
        told = (self._now(), heard.value, code or "", reason, growth, wish, self._ceiling)
        joins = heard is Heard.WELL
        return Question(self._heard, (self._pace, self._flight), told, (ticket, began or 0), joins=joins)

    def flush(self) -> None:
        """See `Store.flush`."""
        self._line.flush()

    def leave(self, lead_id: str) -> None:
        """See `Store.leave`."""
        with self._store.pipeline(transaction=True) as pipe:
            pipe.zrem(self._room, lead_id)
            pipe.zrem(self._leaving, lead_id)
            pipe.execute()

    def put(self, rows: Sequence[GateRow]) -> None:
        """See `Store.put`."""
        if not rows:
            return
        values = [
            value
            for row in rows
            for value in (
                row.scope,
                row.since_ms,
                row.until_ms or 0,
                row.code or "",
                row.reason,
                row.probe_ms or 0,
            )
        ]
        self._put(keys=[self._scopes, *(self._gate(row.scope) for row in rows)], args=values)

    def forget(self, scopes: Sequence[str]) -> None:
        """See `Store.forget`."""
        if scopes:
            with self._store.pipeline(transaction=True) as pipe:
                pipe.delete(*(self._gate(scope) for scope in scopes))
                pipe.srem(self._scopes, *scopes)
                pipe.execute()

    def scopes(self) -> frozenset[str]:
        """See `Store.scopes`."""
        return frozenset(cast("set[str]", self._store.smembers(self._scopes)))

    def turned_away(self, scope: str) -> int:
        """See `Store.turned_away`."""
        return int(cast("str | None", self._store.hget(self._gate(scope), "turned_away")) or 0)

    def pace(self) -> Gate:
        """See `Store.pace`."""
        self._line.flush()
        found = cast("Mapping[str, str]", self._store.hgetall(self._pace))
        rate = float(found["rate_now"]) if "rate" in found and "rate_now" in found else self._ceiling
        rate = min(rate, self._ceiling) if self._ceiling else rate
        if "step" not in found:
            return Gate(PACE_SCOPE, closed=False, calls_per_s=rate or None)
        hold = int(found.get("hold", "0"))
        return Gate(
            PACE_SCOPE,
            closed=hold > self._now_ms(),
            code=_number(found.get("code", "")),
            reason=found.get("reason") or None,
            since=from_ms(int(found["since"])) if "since" in found else None,
            until=from_ms(hold) if hold else None,
            calls_per_s=rate or None,
        )

    def open_pace(self) -> bool:
        """See `Store.open_pace`."""
        self._line.flush()
        return bool(self._store.delete(self._pace, self._flight, self._room, self._leaving))

    def _gate(self, scope: str) -> str:
        return f"{self._prefix}gate:{scope}"

    def _now_ms(self) -> int:
        if now := self._now():
            return now
        seconds, microseconds = self._store.time()
        return int(seconds) * 1000 + int(microseconds) // 1000


def _turned(answer: Any) -> Turned | None:
    match answer:
        case ["closed", until, why, words]:
            return "closed", int(until), _number(why), words
        case ["opened", since]:
            return "opened", int(since), None, ""
    return None


def _script(*names: str) -> str:
    """Put scripts together behind this module's constants, by which they are written."""
    constants = "".join(f"local {name} = {value}\n" for name, value in _CONSTANTS.items())
    return constants + "".join(files("tasks.gates").joinpath(name).read_text(encoding="utf-8") for name in names)


def _number(text: Any) -> int | None:
    return int(text) if text else None

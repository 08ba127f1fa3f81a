"""The gates in Redis or Valkey: one atomic script to ask, one to report, so that all workers see the same buyer."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any, Final, Protocol, cast

from redis import Redis

from tasks.gates.port import PACE_SCOPE, Admission, Capped, Gate, Go, Heard, Wait
from tasks.ledger.rows import GateRow, from_ms

# How long all workers wait after each 1000 or 1100 in a row. The longest keeps a minute of maintenance under 20 calls,
# and full speed within 5 s of its end.
HOLD_MS: Final = {Heard.WAIT: (1000, 3000, 4800, 4800), Heard.SLOW: (400, 800, 1600, 3200)}
COLD_PLACES: Final = 2
COLD_MS: Final = 300
IDLE_MS: Final = 2_000
POLL_MS: Final = 60
LONGEST_POLL_MS: Final = 600
NARROW_PLACES: Final = 4
WIDE_PLACES: Final = 64


class Store(Protocol):
    """What all workers of one partner, live or test, know together. Every method may raise `RedisError`."""

    def admit(self, scope: str, ticket: str, budget_ms: int) -> Admission:
        """Ask for a call that takes at most `budget_ms`, and take its place in flight under `ticket`."""
        ...

    def heard(
        self, ticket: str, heard: Heard, *, code: int | None, reason: str, retry_after_s: float | None
    ) -> tuple[str, int] | None:
        """Report a call. Gives ``("closed", until)`` or ``("opened", since)``, in ms, where the pace's gate turned."""
        ...

    def put(self, rows: Sequence[GateRow]) -> None:
        """Close these gates here too. One that is closed already keeps its count."""
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
        """Give the gate that 1000 and 1100 close for all."""
        ...

    def open_pace(self) -> bool:
        """Let calls go at once, whatever was heard. False: nothing held them back."""
        ...


class RedisStore:
    """See `Store`: in Redis or Valkey."""

    def __init__(self, store: Redis, *, partner_id: str, test: bool) -> None:
        self._store = store  # decodes what it reads
        self._prefix = f"pingpost:{partner_id}:{'test' if test else 'live'}:"
        self._admit = store.register_script(_script("admit.lua"))
        self._heard = store.register_script(_script("heard.lua"))
        self._pace = f"{self._prefix}pace"
        self._flight = f"{self._prefix}flight"
        self._scopes = f"{self._prefix}scopes"

    def admit(self, scope: str, ticket: str, budget_ms: int) -> Admission:
        """See `Store.admit`."""
        answer = self._admit(
            keys=[self._gate(scope), self._pace, self._flight],
            args=[
                ticket,
                budget_ms,
                COLD_PLACES,
                COLD_MS,
                IDLE_MS,
                POLL_MS,
                LONGEST_POLL_MS,
                NARROW_PLACES,
                WIDE_PLACES,
            ],
        )
        match answer:
            case ["go"]:
                return Go(ticket)
            case ["wait", ms, code, reason]:
                # A little more than is left, each lead its own: they need not all come at the same moment.
                spread = 1 + 0.25 * random.random()  # noqa: S311 - chance, not a secret
                return Wait(int(ms) / 1000 * spread + 0.005, reason or "the buyer is being tried", _number(code))
            case ["capped", code, reason, until]:
                closes = int(float(until))
                return Capped(scope, _number(code), reason, from_ms(closes) if closes else None)
            case other:
                raise AssertionError(f"admit.lua answered {other}")

    def heard(
        self, ticket: str, heard: Heard, *, code: int | None, reason: str, retry_after_s: float | None
    ) -> tuple[str, int] | None:
        """See `Store.heard`."""
        jitter = 0.95 + 0.05 * random.random()  # noqa: S311 - chance, not a secret
        growth = ",".join(str(round(ms * jitter)) for ms in HOLD_MS.get(heard, (0,)))
        wish = round(max(retry_after_s, 0.1) * 1000) if retry_after_s is not None else 0
        answer = self._heard(
            keys=[self._pace, self._flight],
            args=[ticket, heard.value, code or "", reason, growth, wish, WIDE_PLACES, IDLE_MS, NARROW_PLACES],
        )
        return (answer[0], int(answer[1])) if answer[0] else None

    def put(self, rows: Sequence[GateRow]) -> None:
        """See `Store.put`."""
        if not rows:
            return
        with self._store.pipeline(transaction=True) as pipe:
            for row in rows:
                key = self._gate(row.scope)
                values: dict[str | bytes | bytearray | memoryview[int] | int | float, Any]
                values = {
                    "since": row.since_ms,
                    "until": row.until_ms or 0,
                    "code": row.code or "",
                    "reason": row.reason,
                }
                pipe.hset(key, mapping=values)
                pipe.hsetnx(key, "turned_away", 0)
                pipe.sadd(self._scopes, row.scope)
            pipe.execute()

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
        found = cast("Mapping[str, str]", self._store.hgetall(self._pace))
        if "step" not in found:
            return Gate(PACE_SCOPE, closed=False)
        hold = int(found.get("hold", "0"))
        return Gate(
            PACE_SCOPE,
            closed=hold > self._now_ms(),
            code=_number(found.get("code", "")),
            reason=found.get("reason") or None,
            since=from_ms(int(found["since"])) if "since" in found else None,
            until=from_ms(hold) if hold else None,
        )

    def open_pace(self) -> bool:
        """See `Store.open_pace`."""
        return bool(self._store.delete(self._pace, self._flight))

    def _gate(self, scope: str) -> str:
        return f"{self._prefix}gate:{scope}"

    def _now_ms(self) -> int:
        seconds, microseconds = self._store.time()
        return int(seconds) * 1000 + int(microseconds) // 1000


def _script(name: str) -> str:
    return files("tasks.gates").joinpath(name).read_text(encoding="utf-8")


def _number(text: str) -> int | None:
    return int(text) if text else None

"""The gates in Redis or Valkey: one atomic script to ask, one to report, so that all workers see the same buyer."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, Final, cast

import structlog
from redis import Redis

from tasks.gates.port import Admission, Capped, Gate, Go, Heard, Wait
from tasks.ledger import GateRow, Ledger
from tasks.ledger.rows import from_ms, to_ms

log = structlog.stdlib.get_logger()

PACE_SCOPE: Final = "buyer"
# How long all workers wait after each 1000 or 1100 in a row. The longest keeps a minute of maintenance under 20 calls,
# and full speed within 5 s of its end.
HOLD_MS: Final = {Heard.WAIT: (1000, 2000, 4000, 4400), Heard.SLOW: (400, 800, 1600, 3200)}
LONGEST_RETRY_AFTER_S: Final = 30.0
COLD_PLACES: Final = 2
COLD_MS: Final = 300
IDLE_MS: Final = 2_000
POLL_MS: Final = 60
LONGEST_POLL_MS: Final = 600
NARROW_PLACES: Final = 4
WIDE_PLACES: Final = 64


class StoredGates:
    """Gates of one partner, live or test, in the state store; closed ones are kept in the ledger too."""

    def __init__(self, store: Redis, ledger: Ledger, *, partner_id: str, test: bool) -> None:
        self._store = store  # decodes what it reads
        self._ledger = ledger
        self._prefix = f"pingpost:{partner_id}:{'test' if test else 'live'}:"
        # The ledger is one for live and test: a gate met in test closes no live one.
        self._remembered = "test/" if test else ""
        self._admit = store.register_script(_script("admit.lua"))
        self._heard = store.register_script(_script("heard.lua"))
        self._pace = f"{self._prefix}pace"
        self._flight = f"{self._prefix}flight"
        self._scopes = f"{self._prefix}scopes"
        self._whole = f"{self._prefix}whole"  # missing: the store has forgotten everything

    def admit(self, scope: str, budget_ms: int) -> Admission:
        """See `Gates.admit`."""
        ticket = uuid.uuid4().hex
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

    def heard(self, ticket: str, heard: Heard, *, code: int | None, reason: str, retry_after_s: float | None) -> None:
        """See `Gates.heard`."""
        jitter = 0.95 + 0.1 * random.random()  # noqa: S311 - chance, not a secret
        growth = ",".join(str(round(ms * jitter)) for ms in HOLD_MS.get(heard, (0,)))
        wish = round(min(max(retry_after_s, 0.1), LONGEST_RETRY_AFTER_S) * 1000) if retry_after_s is not None else 0
        answer = self._heard(
            keys=[self._pace, self._flight],
            args=[ticket, heard.value, code or "", reason, growth, wish, WIDE_PLACES, IDLE_MS, NARROW_PLACES],
        )
        match answer:
            case ["closed", until]:
                log.warning("gate.closed", scope=PACE_SCOPE, code=code, reason=reason, until=_iso(int(until)))
            case ["opened", since]:
                log.info("gate.opened", scope=PACE_SCOPE, since=_iso(int(since)), reason="the buyer answers again")

    def close(self, scope: str, *, code: int | None, reason: str, until: datetime | None) -> bool:
        """See `Gates.close`. The ledger first: a store that is gone tomorrow must not open a cap."""
        self._open_what_is_over()
        now = self._now_ms()
        until_ms = to_ms(until) if until else None
        known = self._hash(self._gate(scope))
        if known.get("until") == "0":
            return False  # closed by hand: no cap that is met meanwhile makes it shorter
        self._ledger.close_gate(GateRow(self._remembered + scope, code, reason, now, until_ms))
        is_new = self._put(scope, code, reason, now, until_ms)
        if not is_new and until_ms is not None:
            return False
        log.warning("gate.closed", scope=scope, code=code, reason=reason, until=_iso(until_ms) if until_ms else None)
        return True

    def open(self, scope: str, why: str) -> bool:
        """See `Gates.open`."""
        if scope == PACE_SCOPE:
            was_closed = bool(self._store.delete(self._pace, self._flight))
        else:
            remembered = self._ledger.open_gate(self._remembered + scope)
            was_closed = self._forget(scope) or remembered
        if was_closed:
            log.info("gate.opened", scope=scope, reason=why)
        return was_closed

    def all(self) -> Iterator[Gate]:
        """See `Gates.all`."""
        now = self._now_ms()
        yield self._pace_gate(now)
        for scope in sorted(cast("set[str]", self._store.smembers(self._scopes))):
            found = self._hash(self._gate(scope))
            if found:
                yield _gate(scope, found, now)

    def restore(self) -> None:
        """Tell a store that has forgotten them which gates are closed."""
        now = self._now_ms()
        self._store.set(self._whole, "1")
        for row in self._ledger.closed_gates():
            ours = row.scope.startswith("test/") == bool(self._remembered)
            if ours and (row.until_ms is None or row.until_ms > now):
                scope = row.scope.removeprefix("test/")
                self._put(scope, row.code, row.reason, row.since_ms, row.until_ms)

    def reset(self) -> list[Gate]:
        """Open the gates whose time is over, and log each reset once, however many ask at the same time.

        A store that was emptied since is told again which gates are closed.
        """
        if not self._store.exists(self._whole):
            self.restore()
        return self._open_what_is_over()

    def _open_what_is_over(self) -> list[Gate]:
        now = self._now_ms()
        opened = []
        for row in self._ledger.closed_gates():
            ours = row.scope.startswith("test/") == bool(self._remembered)
            if not ours or row.until_ms is None or row.until_ms > now:
                continue
            scope = row.scope.removeprefix("test/")
            turned_away = int(self._hash(self._gate(scope)).get("turned_away", "0"))
            if not self._ledger.open_gate(row.scope):
                continue
            self._forget(scope)
            gate = Gate(scope, False, row.code, row.reason, from_ms(row.since_ms), from_ms(row.until_ms), turned_away)
            log.info(
                "cap.reset", scope=scope, since=_iso(row.since_ms), until=_iso(row.until_ms), turned_away=turned_away
            )
            log.info("gate.opened", scope=scope, reason="the buyer's new day")
            opened.append(gate)
        return opened

    def _forget(self, scope: str) -> bool:
        removed = bool(self._store.delete(self._gate(scope)))
        self._store.srem(self._scopes, scope)
        return removed

    def _put(self, scope: str, code: int | None, reason: str, since_ms: int, until_ms: int | None) -> bool:
        key = self._gate(scope)
        values: dict[str | bytes | bytearray | memoryview[int] | int | float, Any]
        values = {"until": until_ms or 0, "code": code or "", "reason": reason}
        with self._store.pipeline(transaction=True) as pipe:
            pipe.hsetnx(key, "since", since_ms)
            pipe.hset(key, mapping=values)
            pipe.hsetnx(key, "turned_away", 0)
            pipe.sadd(self._scopes, scope)
            return bool(pipe.execute()[0])

    def _pace_gate(self, now: int) -> Gate:
        found = self._hash(self._pace)
        if "step" not in found:
            return Gate(PACE_SCOPE, closed=False)
        return _gate(PACE_SCOPE, {**found, "until": found.get("hold", "0")}, now)

    def _hash(self, key: str) -> dict[str, str]:
        return cast("dict[str, str]", self._store.hgetall(key))

    def _gate(self, scope: str) -> str:
        return f"{self._prefix}gate:{scope}"

    def _now_ms(self) -> int:
        seconds, microseconds = self._store.time()
        return int(seconds) * 1000 + int(microseconds) // 1000


def _gate(scope: str, found: dict[str, str], now: int) -> Gate:
    until = int(found.get("until", "0"))
    return Gate(
        scope,
        closed=until == 0 or until > now,
        code=_number(found.get("code", "")),
        reason=found.get("reason") or None,
        since=from_ms(int(found["since"])) if "since" in found else None,
        until=from_ms(until) if until else None,
        turned_away=int(found.get("turned_away", "0")),
    )


def _script(name: str) -> str:
    return files("tasks.gates").joinpath(name).read_text(encoding="utf-8")


def _number(text: str) -> int | None:
    return int(text) if text else None


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

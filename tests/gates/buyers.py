"""Buyers that limit requests, and workers that call them, by a clock that jumps from event to event.

The gates are the real ones, in a real store; only time is simulated, so that two minutes of it take some seconds.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from redis import Redis

from tasks.gates import Ask, Go, Heard, RedisStore, Wait

BEGAN_MS = 1_000_000_000_000


class Limiter(Protocol):
    """What decides whether a call at `now` (seconds) is answered, or refused with 1100."""

    def takes(self, now: float) -> bool: ...


@dataclass
class Bucket:
    """Fills with `rate` calls a second up to `burst`."""

    rate: float
    burst: float
    left: float = field(init=False)
    at: float = 0.0

    def __post_init__(self) -> None:
        self.left = self.burst

    def takes(self, now: float) -> bool:
        self.left = min(self.burst, self.left + (now - self.at) * self.rate)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


@dataclass
class Windows:
    """At most `calls` in each window of `length_s` by the clock; refused calls do not count."""

    calls: int
    length_s: float = 1.0
    window: int = -1
    taken: int = 0

    def takes(self, now: float) -> bool:
        if int(now / self.length_s) != self.window:
            self.window, self.taken = int(now / self.length_s), 0
        self.taken += 1
        return self.taken <= self.calls


@dataclass
class Sliding:
    """At most `calls` in any second."""

    calls: int
    taken: deque[float] = field(default_factory=deque)

    def takes(self, now: float) -> bool:
        while self.taken and self.taken[0] <= now - 1:
            self.taken.popleft()
        if len(self.taken) >= self.calls:
            return False
        self.taken.append(now)
        return True


@dataclass
class Whim:
    """Refuses one call at each of these moments (seconds), for no reason of pace."""

    moments: list[float]

    def takes(self, now: float) -> bool:
        if not self.moments or now < self.moments[0]:
            return True
        self.moments.pop(0)
        return False


@dataclass
class Chance:
    """Refuses such a share of all calls, at whatever pace, and those that go beyond a limit besides."""

    share: float
    limit: Limiter | None = None

    def takes(self, now: float) -> bool:
        return random.random() >= self.share and (self.limit is None or self.limit.takes(now))


@dataclass
class Tally:
    """What a run came to. `answered` and `refused` are calls by second; `waits` milliseconds from arrival to sale."""

    answered: Counter[int] = field(default_factory=Counter)
    refused: Counter[int] = field(default_factory=Counter)
    posts: Counter[int] = field(default_factory=Counter)
    sold: int = 0
    expired: int = 0
    asked: int = 0
    waits: list[float] = field(default_factory=list)

    def rate(self, since: int, until: int) -> float:
        """Calls answered a second."""
        return sum(self.answered[second] for second in range(since, until)) / (until - since)

    def refusals(self, since: int, until: int) -> float:
        """The share of calls that were refused."""
        refused = sum(self.refused[second] for second in range(since, until))
        return refused / max(1, refused + sum(self.answered[second] for second in range(since, until)))


class Office:
    """Leads that come at random, `demand` a second, and `threads` of workers that ping and post each."""

    def __init__(
        self,
        client: Redis,
        limiter: Limiter,
        *,
        demand: float,
        threads: int,
        latency_s: float = 0.02,
        retry_after_s: float | None = None,
        deadline_s: float = 20,
        ceiling: float = 0,
        seed: int = 1,
    ) -> None:
        self.now = BEGAN_MS
        self.stalls_ms = 0  # a machine with too much to do: what is due is taken once in so long, all at once
        self.tally = Tally()
        self.store = RedisStore(client, partner_id="X", test=False, ceiling=ceiling, now_ms=lambda: self.now)
        self._limiter = limiter
        self.demand, self._threads, self._latency_s = demand, threads, latency_s
        self._retry_after_s, self._deadline_ms = retry_after_s, deadline_s * 1000
        self._chance = random.Random(seed)
        self._busy = 0
        self._backlog: deque[tuple[bool, int, float]] = deque()
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = itertools.count()
        self._at(0, self._arrive, 0)

    def run(self, seconds: float) -> Tally:
        """Let so much time pass."""
        until = self.now + seconds * 1000
        while self._events and self._events[0][0] <= until:
            at, _, act, arguments = heapq.heappop(self._events)
            self.now = max(self.now, int(at))
            act(*arguments)
        self.now = int(until)
        return self.tally

    def _at(self, in_ms: float, act: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._events, (self.now + in_ms, next(self._order), act, arguments))

    @property
    def _second(self) -> int:
        return (self.now - BEGAN_MS) // 1000

    def _arrive(self, number: int) -> None:
        self._ready(False, number, self.now)
        self._at(self._chance.expovariate(self.demand) * 1000, self._arrive, number + 1)

    def _ready(self, sells: bool, number: int, born: float) -> None:
        self._backlog.append((sells, number, born))
        while self._busy < self._threads and self._backlog:
            self._step(*self._backlog.popleft())

    def _step(self, sells: bool, number: int, born: float) -> None:
        left_ms = born + self._deadline_ms - self.now
        if left_ms <= 0:
            self.tally.expired += 1
            return
        self.tally.asked += 1
        ticket = f"{number}-{sells}-{self.now}"
        answer = self.store.admit(Ask(f"L{number}", (), 3000, int(left_ms), sells), ticket)
        if isinstance(answer, Wait):
            due_ms = min(answer.seconds * 1000, left_ms) + self._chance.uniform(2, 8)
            if self.stalls_ms:
                due_ms += -(self.now + due_ms) % self.stalls_ms
            self._at(due_ms, self._ready, sells, number, born)
            return
        assert isinstance(answer, Go)
        self._busy += 1
        taken = self._limiter.takes((self.now - BEGAN_MS) / 1000)
        (self.tally.answered if taken else self.tally.refused)[self._second] += 1
        self.tally.posts[self._second] += sells
        latency_ms = self._chance.uniform(0.5, 1.5) * self._latency_s * 1000
        self._at(latency_ms, self._done, sells, number, born, answer, taken)

    def _done(self, sells: bool, number: int, born: float, go: Go, taken: bool) -> None:
        self._busy -= 1
        if taken:
            self.store.heard(go.ticket, Heard.WELL, code=None, reason="", retry_after_s=None)
        else:
            wish = self._retry_after_s
            self.store.heard(go.ticket, Heard.SLOW, code=1100, reason="Request limit exceeded", retry_after_s=wish)
            self._at(200, self._ready, sells, number, born)
        if taken and sells:
            self.tally.sold += 1
            self.tally.waits.append(self.now - born)
        elif taken:
            self._ready(True, number, born)
        while self._busy < self._threads and self._backlog:
            self._step(*self._backlog.popleft())


__all__ = ["Bucket", "Chance", "Limiter", "Office", "Sliding", "Tally", "Whim", "Windows"]

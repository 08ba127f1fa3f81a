"""A list of upstream's on Redis or Valkey.

A popped message is lost with the process that popped it, so none is popped: each is moved, by the server, to a list of
this consumer's own, and removed from there after the commit. A consumer shows that it lives by a time in a sorted set;
the lists of those that went silent are taken over, message by message, by the others.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Sequence
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from workers.intake.burial import Burial
from workers.intake.envelope import unwrap
from workers.intake.message import Message
from workers.intake.source import LARGEST_BATCH
from workers.places import for_redis_py
from workers.topology import Inbox

# Beside each list, after its name: the consumers that live, and, before a consumer's name, the list of its own.
HOLDERS: Final = ".holders"
HELD: Final = ".held."
SILENT_MS: Final = 10_000
FORGOTTEN_MS: Final = 60_000
PULSE_S: Final = 2.0
LOOK_S: Final = 3.0
TIMEOUT_S: Final = 5.0
# kombu's priorities on Redis, after a list's name: 0, the highest, is the list itself.
PRIORITIES: Final = ("", *(f"\x06\x16{priority}" for priority in (3, 6, 9)))

_PULSE: Final = """
local at = redis.call('TIME')
redis.call('ZADD', KEYS[1], at[1] * 1000 + math.floor(at[2] / 1000), ARGV[1])
"""

# From the lists KEYS[2..] in their order to KEYS[1], at most ARGV[1]; gives what was moved, the oldest first.
_TAKE: Final = """
local moved = {}
for place = 2, #KEYS do
  while #moved < tonumber(ARGV[1]) do
    local message = redis.call('LMOVE', KEYS[place], KEYS[1], 'RIGHT', 'LEFT')
    if not message then break end
    moved[#moved + 1] = message
  end
end
return moved
"""

# The same from the lists of consumers that have been silent for ARGV[3] ms.
_TAKE_OVER: Final = """
local at = redis.call('TIME')
local now = at[1] * 1000 + math.floor(at[2] / 1000)
local moved = {}
for _, holder in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[3])) do
  local list = ARGV[5] .. holder
  while list ~= KEYS[2] and #moved < tonumber(ARGV[2]) do
    local message = redis.call('LMOVE', list, KEYS[2], 'RIGHT', 'LEFT')
    if not message then break end
    moved[#moved + 1] = message
  end
  local seen = tonumber(redis.call('ZSCORE', KEYS[1], holder))
  if holder ~= ARGV[1] and seen < now - ARGV[4] and redis.call('EXISTS', list) == 0 then
    redis.call('ZREM', KEYS[1], holder)
  end
end
return moved
"""


class RedisSource:
    """Consumes with BLMOVE, one list a consumer. `name` is this consumer's, unique for ever."""

    def __init__(self, broker_url: str, inbox: Inbox, *, name: str | None = None, silent_ms: int = SILENT_MS) -> None:
        self._name = name or uuid.uuid4().hex
        self._list = inbox.name
        self._lists = [f"{self._list}{priority}" for priority in PRIORITIES]
        self._holders = f"{self._list}{HOLDERS}"
        self._held = f"{self._list}{HELD}{self._name}"
        self._silent_ms = silent_ms
        self._burial = Burial(broker_url, inbox)
        # No retries inside the client: a move whose answer was lost must be seen by us, who look into our list again.
        self._client = redis.Redis.from_url(
            for_redis_py(broker_url),
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=3,
            retry=Retry(NoBackoff(), 0),
        )
        self._pulse_script = self._client.register_script(_PULSE)
        self._take_script = self._client.register_script(_TAKE)
        self._take_over_script = self._client.register_script(_TAKE_OVER)
        self._held_before: list[bytes] = []
        self._next_look = 0.0
        self._ended = threading.Event()
        self._pulse: threading.Thread | None = None

    def open(self) -> None:
        """See `Source.open`."""
        self._beat()
        if self._pulse is None:
            self._pulse = threading.Thread(target=self._keep_beating, name="pulse", daemon=True)
            self._pulse.start()
        held: Any = self._client.lrange(self._held, 0, -1)
        self._held_before = held[::-1]
        self._next_look = 0.0

    def take(self, wait_s: float) -> list[Message]:
        """See `Source.take`."""
        if self._held_before:
            batch, self._held_before = self._held_before[:LARGEST_BATCH], self._held_before[LARGEST_BATCH:]
            return [unwrap(raw, redelivered=True) for raw in batch]
        lists = self._lists
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + LOOK_S
            if left_behind := self._take_over():
                return [unwrap(raw, redelivered=True) for raw in left_behind]
            lists = self._lists[::-1]  # so that those of low priority get their turn when it is never quiet
        taken: Any = self._take_script(keys=[self._held, *lists], args=[LARGEST_BATCH])
        if not taken:
            # The server takes parts of a second; redis-py's annotation does not know.
            first = self._client.blmove(self._list, self._held, wait_s, "RIGHT", "LEFT")  # type: ignore[arg-type]
            taken = [] if first is None else [first]
        return [unwrap(raw, redelivered=False) for raw in taken]

    def ack(self, batch: Sequence[Message]) -> None:
        """See `Source.ack`."""
        with self._client.pipeline(transaction=False) as pipe:
            for message in batch:
                pipe.lrem(self._held, -1, message.token)  # type: ignore[arg-type]  # bytes, as they came
            pipe.execute()

    def bury(self, message: Message, reason: str) -> None:
        """See `Source.bury`."""
        self._burial.bury(message, reason)

    def tick(self) -> None:
        """See `Source.tick`: a thread does it, since a commit may take longer than others wait."""

    def drop(self) -> None:
        """See `Source.drop`."""
        self._client.connection_pool.disconnect()
        self._burial.drop()

    def close(self) -> None:
        """See `Source.close`: this consumer is silent from now on, and by its own word."""
        self._ended.set()
        if self._pulse is not None:
            self._pulse.join()
        try:
            self._client.zadd(self._holders, {self._name: 0})
        finally:
            self._client.close()
            self._burial.close()

    def _take_over(self) -> list[bytes]:
        limits = [LARGEST_BATCH, self._silent_ms, FORGOTTEN_MS]
        theirs = f"{self._list}{HELD}"
        moved: Any = self._take_over_script(keys=[self._holders, self._held], args=[self._name, *limits, theirs])
        return list(moved)

    def _beat(self) -> None:
        self._pulse_script(keys=[self._holders], args=[self._name])

    def _keep_beating(self) -> None:
        while not self._ended.wait(PULSE_S):
            with contextlib.suppress(redis.RedisError, OSError):  # the loop meets the same broker, and says so
                self._beat()

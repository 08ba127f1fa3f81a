"""What a step needs, handed in by whoever runs it (`workers/services.py` builds it from the settings)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from tasks.buyers.port import Buyer
from tasks.core.caps import Calendar
from tasks.core.limits import NO_LIMITS, Limits
from tasks.core.money import Money
from tasks.core.protocol import Call, Protocol
from tasks.gates.port import Gates
from tasks.ledger import Ledger
from tasks.measuring import UNMEASURED, Measures
from tasks.telling import Teller


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator decided. Durations in seconds."""

    floor: Money
    ping_timeout_s: float
    post_timeout_s: float
    partner_id: str
    cap_scope: str
    calendar: Calendar
    send_floor: bool
    send_price: bool
    retention_days: int
    account_probe_s: float = 0  # 0: never by itself
    limits: Limits = NO_LIMITS

    def timeout_s(self, call: Call) -> float:
        """Give the buyer's time for an answer."""
        return self.post_timeout_s if call.sells else self.ping_timeout_s


@dataclass(frozen=True, slots=True)
class Services:
    """One process's ledger, buyer, gates, teller and measures. `chance` gives a number from 0 to 1.

    `monotonic` and `sleep`, in seconds, are for the little waiting that a step does in its own thread.
    """

    ledger: Ledger
    buyer: Buyer
    gates: Gates
    teller: Teller
    protocol: Protocol
    rules: Rules
    chance: Callable[[], float]
    measures: Measures = UNMEASURED
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

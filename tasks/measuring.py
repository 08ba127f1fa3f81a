"""The port to whoever counts and times what happens while leads are sold: `workers/metrics` does, for Prometheus."""

from __future__ import annotations

from typing import Final

from tasks.buyers.port import Exchange
from tasks.core.outcome import Outcome, Status
from tasks.core.protocol import Call


class Measures:
    """Counts nothing. Who does extends it, quick, waiting for nobody, raising nothing: no sale fails for a number."""

    def received(self) -> None:
        """Count a lead that was taken in."""

    def stepped(self, call: Call) -> None:
        """Count a step that a worker took up, whether or not it leads to a call."""

    def began(self, call: Call, waited_s: float) -> None:
        """Time how long a lead waited for its first call of this kind, from when it was ready for it."""

    def heard(self, exchange: Exchange) -> None:
        """Count and time an exchange with the buyer."""

    def ended(self, outcome: Outcome) -> None:
        """Count an outcome that is decided, and its payout."""

    def told(self, status: Status, whole_s: float, buyer_s: float) -> None:
        """Time a lead that has been told its outcome: from the front door on, and in the buyer's hands of that."""

    def late(self) -> None:
        """Count a sale that was told too late to forward its caller."""

    def kept_up(self, task: str) -> None:
        """Count a task of beat's that was done."""

    def resumed(self) -> None:
        """Count a lead that stood still and was sent on its way again."""


UNMEASURED: Final = Measures()

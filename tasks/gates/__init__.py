"""Gates: what all workers know of the buyer together. Caps that are reached, maintenance, pace."""

from tasks.gates.port import Admission, Capped, Gate, Gates, Go, Heard, Wait
from tasks.gates.shared import SharedGates

__all__ = ["Admission", "Capped", "Gate", "Gates", "Go", "Heard", "SharedGates", "Wait"]

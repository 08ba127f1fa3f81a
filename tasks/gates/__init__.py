"""Gates: what all workers know of the buyer together. Caps that are reached, maintenance, pace."""

from tasks.gates.port import Admission, Capped, Gate, Gates, Go, Heard, Wait
from tasks.gates.store import StoredGates

__all__ = ["Admission", "Capped", "Gate", "Gates", "Go", "Heard", "StoredGates", "Wait"]

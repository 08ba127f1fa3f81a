"""Gates: what all workers know of the buyer together. Caps that are reached, the account, maintenance, pace."""

from tasks.gates.port import Admission, Ask, Closed, Gate, Gates, Go, Heard, Probe, Wait
from tasks.gates.register import Register
from tasks.gates.shared import SharedGates
from tasks.gates.store import RedisStore

__all__ = [
    "Admission",
    "Ask",
    "Closed",
    "Gate",
    "Gates",
    "Go",
    "Heard",
    "Probe",
    "RedisStore",
    "Register",
    "SharedGates",
    "Wait",
]

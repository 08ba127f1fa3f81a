"""The ledger: what happened to every lead, in SQL. States move by conditional UPDATEs; attempts are append-only."""

from tasks.ledger.ledger import Ledger, LedgerError
from tasks.ledger.migrate import migrate
from tasks.ledger.moves import Move
from tasks.ledger.rows import Arrival, GateRow, LeadRow, Receipt, Reception, Reply, Reset, Takings, Untold

__all__ = [
    "Arrival",
    "GateRow",
    "LeadRow",
    "Ledger",
    "LedgerError",
    "Move",
    "Receipt",
    "Reception",
    "Reply",
    "Reset",
    "Takings",
    "Untold",
    "migrate",
]

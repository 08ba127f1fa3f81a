"""Leads that have ended, by the thousand and in no time: rows of SQL, as a worker would have left them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert

from tasks.core.money import Money
from tasks.ledger import Ledger
from tasks.ledger.rows import to_ms
from tasks.ledger.schema import leads

NOON = datetime(2024, 11, 23, 17, 0, tzinfo=UTC)  # in New York
PRICE = Money.parse("12.50")


def ended(lead_id: str, status: str = "sold", *, at: datetime = NOON, **columns: Any) -> dict[str, Any]:
    """A lead's row: sold at noon, to be forwarded within 30 s, for a call of 60 s."""
    ends = to_ms(at)
    row = {
        "lead_id": lead_id,
        "state": status,
        "status": status,
        "fingerprint": "",
        "flow": "ping_post",
        "call": "ping",
        "test": False,
        "numcategory": 16001,
        "subid": "123",
        "customid": lead_id,
        "received_at": ends - 2_000,
        "deadline_at": ends + 18_000,
        "changed_at": ends,
        "due_at": ends,
        "token": f"token-{lead_id}",
        "price_quoted": PRICE.micros,
        "price_confirmed": None,
        "duration_s": 60,
        "forward_by": ends + 30_000 if status == "sold" else None,
        "ended_at": ends,
        "offered_price": None,
    }
    assert columns.keys() <= row.keys(), columns.keys() - row.keys()
    return row | columns


def put(ledger: Ledger, *rows: dict[str, Any]) -> None:
    """Write rows."""
    with ledger.engine.begin() as connection:
        connection.execute(insert(leads), list(rows))

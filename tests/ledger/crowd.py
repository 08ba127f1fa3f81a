"""``python -m tests.ledger.crowd``: a ledger with as many made-up leads as are asked for, to measure and to look at.

They are written in bulk, as a lead's own moves would have left them: weeks of calls take seconds.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection, insert

from tasks.core.outcome import Status
from tasks.ledger import migrate
from tasks.ledger.engine import open_engine
from tasks.ledger.rows import to_ms
from tasks.ledger.schema import attempts, leads

CATEGORIES: Final = {16001: (45, 14.0), 16002: (25, 9.5), 16003: (12, 22.0), 16004: (10, 11.0), 16005: (8, 6.5)}
SOURCES: Final = ("radio-ny", "tv-late", "google-legal", "billboard", "street", "affiliate-7", "mail", "bing", "app")
# Of a hundred pings: how they are answered, by the code of a no; None is a bid. On some days there are more bids.
ANSWERS: Final = {None: 62, 5000: 24, 6000: 7, 4000: 4, 7777: 1, 1100: 2}
WORDS: Final = {5000: "No coverage or buyers", 6000: "Minimum bid not met", 4000: "Daily Cap reached"}
# Calls an hour: few at night, most before noon and in the evening.
HOURS: Final = (1, 1, 1, 1, 1, 2, 4, 8, 12, 15, 16, 14, 12, 13, 13, 12, 11, 12, 14, 13, 10, 7, 4, 2)
_CHUNK: Final = 2_000


def fill(connection: Connection, number: int, *, first: datetime, days: int, seed: int = 1) -> None:
    """Write so many ended leads, and their attempts, that end between `first` and `days` days later."""
    chance = random.Random(seed)
    made = _made(chance, number, first, days)
    while rows := list(islice(made, _CHUNK)):
        connection.execute(insert(leads), [lead for lead, _ in rows])
        if calls := [call for _, calls in rows for call in calls]:
            connection.execute(insert(attempts), calls)


def _made(chance: random.Random, number: int, first: datetime, days: int) -> Iterator[tuple[Any, list[Any]]]:
    dates = [first + timedelta(days=place) for place in range(days)]
    weights = [chance.uniform(0.8, 1.2) * (0.4 if date.weekday() > 4 else 1) for date in dates]
    moods = [chance.uniform(-12, 12) for _ in dates]
    for place, day in enumerate(sorted(chance.choices(range(days), weights, k=number))):
        hour = chance.choices(range(24), HOURS)[0]
        at = to_ms(dates[day] + timedelta(hours=hour, seconds=chance.random() * 3600))
        yield _lead(chance, f"crowd-{place:08d}-{chance.getrandbits(32):08x}", at, moods[day])


def _lead(chance: random.Random, lead_id: str, at: int, mood: float) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    numcategory = chance.choices([*CATEGORIES], [weight for weight, _ in CATEGORIES.values()])[0]
    subid = SOURCES[min(int(chance.expovariate(0.45)), len(SOURCES) - 1)]
    code = chance.choices([*ANSWERS], [number + (0 if code else mood) for code, number in ANSWERS.items()])[0]
    price = max(500_000, round(chance.gauss(CATEGORIES[numcategory][1], 2) * 100) * 10_000)
    bid = {"token": f"{chance.getrandbits(128):032x}", "price_quoted": price, "duration_s": 90} if code is None else {}
    status, confirmed = _end(chance, code, price)
    calls = [_attempt(lead_id, "ping", at - 900, code, bid.get("token"), price)]
    if code is None:
        calls.append(_attempt(lead_id, "post", at - 500, None, bid["token"], confirmed, status))
    row = {
        "lead_id": lead_id,
        "state": status.value,
        "epoch": len(calls),
        "fingerprint": f"{chance.getrandbits(256):064x}",
        "flow": "ping_post",
        "call": "ping",
        "test": chance.random() < 0.01,
        "numcategory": numcategory,
        "subid": subid,
        "customid": lead_id,
        "content": json.dumps({"numcategory": str(numcategory), "subid": subid, "comments": "made up " * 20}),
        "received_at": at - 1000,
        "deadline_at": at + 19_000,
        "changed_at": at,
        "due_at": at,
        "pings": 1,
        "posts": len(calls) - 1,
        "token": None,
        "price_quoted": None,
        "duration_s": None,
        "posted_at": at - 500 if code is None else None,
        "phone_number": "8005550100" if status is Status.SOLD else None,
        "price_confirmed": confirmed,
        "status": status.value,
        "code": code,
        "reason": WORDS.get(code or 0),
        "outcome": json.dumps({"lead_id": lead_id, "status": status.value, "words": "told as it was " * 20}),
        "ended_at": at,
        "logged_at": at,
        "told_at": at,
    }
    return row | bid, calls


def _end(chance: random.Random, code: int | None, price: int) -> tuple[Status, int | None]:
    if code is not None:
        return {4000: Status.CAPPED, 1100: Status.EXPIRED}.get(code, Status.REJECTED), None
    draw = chance.random()
    if draw < 0.04:
        return Status.REJECTED, None
    if draw < 0.05:
        return Status.UNKNOWN, None
    if draw < 0.06:
        return Status.SOLD, None
    return Status.SOLD, price - 250_000 if draw < 0.09 else price


def _attempt(
    lead_id: str, call: str, at: int, code: int | None, token: str | None, price: int | None, end: Status | None = None
) -> dict[str, Any]:
    result = "refusal" if code else "bid" if call == "ping" else "sale" if end is Status.SOLD else "refusal"
    return {
        "lead_id": lead_id,
        "call": call,
        "number": 1,
        "at": at,
        "request": json.dumps({"numcategory": "16001", "key": "***", "zipcode": "33139", "words": "masked " * 20}),
        "http_status": 200,
        "answer": json.dumps({"status": result, "words": "as the buyer wrote it " * 5}),
        "result": result,
        "code": code,
        "reason": WORDS.get(code or 0),
        "duration_ms": 180,
        "token": token,
        "price": price if result != "refusal" else None,
        "stale": False,
    }


def main() -> None:
    """Fill a ledger, which is made where it does not exist."""
    parser = argparse.ArgumentParser(prog="python -m tests.ledger.crowd", description=__doc__)
    parser.add_argument("url", help="sqlite:///FILE or postgresql+psycopg://…")
    parser.add_argument("--leads", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    migrate(asked.url)
    engine = open_engine(asked.url)
    midnight = datetime.now(UTC).replace(hour=5, minute=0, second=0, microsecond=0)  # in New York, in winter
    with engine.begin() as connection:
        fill(connection, asked.leads, first=midnight - timedelta(days=asked.days), days=asked.days, seed=asked.seed)
    engine.dispose()


if __name__ == "__main__":
    sys.exit(main())

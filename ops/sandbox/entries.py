"""What the book holds: the shapes of its entries, as tests read them and as the file has them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import NotRequired, TypedDict

from ops.sandbox.rulebook import Call

SHOWN = 64
CALL_FIELDS = ("numcategory", "subid", "zipcode", "customid", "token")
CALL_COLUMNS = ("call", "method", "result", "fault", *CALL_FIELDS)


class State(StrEnum):
    """What came of the last post of a token. After any but the first two a seller must not post it again."""

    NEVER_POSTED = "never_posted"
    REFUSED_FOR_NOW = "refused_for_now"
    REFUSED = "refused"
    SOLD = "sold"
    UNANSWERED = "unanswered"


class BidReport(TypedDict):
    """A token, what came of its last post, and how many posts carried it."""

    state: str
    posts: int
    price: str


class Sale(TypedDict):
    """One sale. `price` is dollars as a decimal string, `at` RFC 3339 in UTC, `duration` seconds."""

    at: str
    call: str
    token: str
    price: str
    duration: int
    phone_number: str
    partnerid: str
    numcategory: str
    subid: str
    customid: str
    zipcode: str
    test: bool


class Entry(TypedDict):
    """Something that a seller must not do: a repeated post, or a rule of the fields table that was broken."""

    at: str
    call: str
    token: str
    customid: str
    what: str
    fields: list[str]


class CallEntry(TypedDict):
    """One call. `result` is `accepted`, a code, or `none` where the buyer had no answer to give."""

    at: str
    call: str
    method: str
    result: str
    fault: str
    numcategory: str
    subid: str
    zipcode: str
    customid: str
    token: str


class Report(TypedDict):
    """The book as tests read it. `total` is what the sales that were no tests come to, in dollars.

    `doubles` are posts of tokens that were sold already, `repeats` all posts of tokens whose last post may have been
    taken or was refused for good, `resold` the customids that were sold more than once. A seller that keeps the rules
    has none of them.
    """

    sales: list[Sale]
    total: str
    doubles: list[Entry]
    repeats: list[Entry]
    resold: list[str]
    violations: list[Entry]
    counts: dict[str, dict[str, int]]
    faults: dict[str, int]
    bids: int
    calls: NotRequired[list[CallEntry]]
    tokens: NotRequired[dict[str, BidReport]]


@dataclass(slots=True)
class Bid:
    """A token that was given out. `at` is seconds since the epoch."""

    token: str
    at: float
    price: str
    duration: int
    partnerid: str
    numcategory: str
    zipcode: str
    state: State = State.NEVER_POSTED
    posts: int = 0
    phone_number: str = ""


def sale_of(call: Call, fields: Mapping[str, str], *, price: str, duration: int, phone_number: str, test: bool) -> Sale:
    """Make a sale's entry from the fields of the call that made it."""
    return Sale(
        at=rfc3339(time.time()),
        call=call,
        token=fields.get("token", ""),
        price=price,
        duration=duration,
        phone_number=phone_number,
        partnerid=fields["partnerid"],
        numcategory=fields["numcategory"],
        subid=fields["subid"],
        customid=fields.get("customid", ""),
        zipcode=fields["zipcode"],
        test=test,
    )


def entry_of(call: Call, fields: Mapping[str, str], what: str, names: tuple[str, ...] = ()) -> Entry:
    """Make the entry of a broken rule; `names` are names of the fields table."""
    return Entry(
        at=rfc3339(time.time()),
        call=call,
        token=fields.get("token", "")[:SHOWN],
        customid=fields.get("customid", "")[:SHOWN],
        what=what,
        fields=sorted(names),
    )


def call_entry(at: float, row: tuple[str, ...]) -> CallEntry:
    """Make a call's entry; `at` is seconds since the epoch, `row` has the order of `CALL_COLUMNS`."""
    call, method, result, fault, numcategory, subid, zipcode, customid, token = row
    return CallEntry(
        at=rfc3339(at),
        call=call,
        method=method,
        result=result,
        fault=fault,
        numcategory=numcategory,
        subid=subid,
        zipcode=zipcode,
        customid=customid,
        token=token,
    )


def rfc3339(at: float) -> str:
    """Write seconds since the epoch as RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")

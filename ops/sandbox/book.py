"""The buyer's book: every call, every token, every sale.

It is what tests and the demo compare the seller's ledger with. Of the caller it keeps the customid and the token only;
of a violation the names of fields, never their values.

With a file, each entry is also a line of JSON there, flushed before the answer is sent, so that a sandbox that is
killed has lost nothing, and one that is started again on the same file knows what it sold.
"""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

from ops.sandbox.entries import (
    CALL_COLUMNS,
    CALL_FIELDS,
    SHOWN,
    Bid,
    BidReport,
    CallEntry,
    Entry,
    Report,
    Sale,
    State,
    call_entry,
    entry_of,
    rfc3339,
)
from ops.sandbox.rulebook import Call
from ops.sandbox.scenario import Fault

_MAY_BE_POSTED = (State.NEVER_POSTED, State.REFUSED_FOR_NOW)
_FOR_NOW = ("1000", "1100")
# Faults after which the seller has read the answer, if it waited long enough.
_READABLE = ("", Fault.SLOW, Fault.LATE_SALE)
KEEP_CALLS = 200_000


class Book:
    """What happened, in memory and, with a `path`, in a file of JSON Lines.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path | None = None, *, keep_calls: int = KEEP_CALLS) -> None:
        self._clear(keep_calls)
        self._file: IO[str] | None = None
        if path is not None:
            unended = path.exists() and self._read(path)
            self._file = path.open("a", encoding="utf-8", buffering=1)
            if unended:
                self._file.write("\n")

    def _clear(self, keep_calls: int) -> None:
        self.bids: dict[str, Bid] = {}
        self.sales: list[Sale] = []
        self._doubles: list[Entry] = []
        self._repeats: list[Entry] = []
        self._violations: list[Entry] = []
        self._calls: deque[tuple[float, tuple[str, ...]]] = deque(maxlen=keep_calls)
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._faults: Counter[str] = Counter()

    def reset(self) -> None:
        """Begin a new book; the file keeps the old one, above a line that says so."""
        self._clear(self._calls.maxlen or 0)
        self._write("reset", {"at": rfc3339(time.time())})

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def call(self, call: Call, method: str, result: str, fault: str, fields: Mapping[str, str]) -> None:
        """Note a call, before its answer is sent."""
        now = time.time()
        row = (call, method, result, fault, *[fields.get(name, "")[:SHOWN] for name in CALL_FIELDS])
        self._count(now, row)
        if self._file is not None:
            self._write("call", dict(zip(CALL_COLUMNS, row, strict=True), at=rfc3339(now)))

    def _count(self, at: float, row: tuple[str, ...]) -> None:
        call, _, result, fault, *_, token = row
        self._calls.append((at, row))
        self._counts[call][result] += 1
        if fault:
            self._faults[fault] += 1
        if call == Call.POST and (bid := self.bids.get(token)) is not None and bid.state is not State.SOLD:
            bid.state = _state_after(result, fault)

    def bid(self, bid: Bid) -> None:
        """Note a token that is about to be given out."""
        self.bids[bid.token] = bid
        if self._file is not None:
            self._write("bid", asdict(bid))

    def sell(self, sale: Sale, bid: Bid | None = None) -> None:
        """Note a sale, of a bid where there was one; it is in the file when this returns."""
        self._take_sale(sale, bid)
        self._write("sale", sale)

    def post(self, bid: Bid, fields: Mapping[str, str]) -> None:
        """Note that a post carries this bid's token, and complain where it should not have come."""
        bid.posts += 1
        if bid.state in _MAY_BE_POSTED:
            return
        entry = entry_of(Call.POST, fields, f"posted again after: {bid.state}")
        self._repeats.append(entry)
        self._write("repeat", entry)
        if bid.state is State.SOLD:
            self._doubles.append(entry)
            self._write("double", entry)

    def violation(self, call: Call, fields: Mapping[str, str], what: str, names: tuple[str, ...] = ()) -> None:
        """Note a broken rule; `names` are names of the fields table."""
        entry = entry_of(call, fields, what, names)
        self._violations.append(entry)
        self._write("violation", entry)

    def report(self, *, calls: bool = False, tokens: bool = False) -> Report:
        """Return the whole book, with every call and every token where asked for."""
        sold = Counter(sale["customid"] for sale in self.sales if sale["customid"])
        report = Report(
            sales=list(self.sales),
            total=str(sum((Decimal(sale["price"]) for sale in self.sales if not sale["test"]), Decimal(0))),
            doubles=list(self._doubles),
            repeats=list(self._repeats),
            resold=sorted(customid for customid, times in sold.items() if times > 1),
            violations=list(self._violations),
            counts={call: dict(counter) for call, counter in self._counts.items()},
            faults=dict(self._faults),
            bids=len(self.bids),
        )
        if calls:
            report["calls"] = [call_entry(at, row) for at, row in self._calls]
        if tokens:
            report["tokens"] = {
                bid.token: BidReport(state=bid.state, posts=bid.posts, price=bid.price) for bid in self.bids.values()
            }
        return report

    def _write(self, record: str, entry: Mapping[str, Any]) -> None:
        if self._file is not None:
            self._file.write(json.dumps({"record": record, **entry}) + "\n")

    def _read(self, path: Path) -> bool:
        """Take up a book where a sandbox before this one left it; say whether a kill cut its last line short."""
        take: dict[str, Callable[[Any], object]] = {
            "call": self._take_call,
            "bid": self._take_bid,
            "sale": lambda entry: self._take_sale(entry, self.bids.get(entry["token"])),
            # Looked up anew each time: a reset begins new lists.
            "double": lambda entry: self._doubles.append(entry),  # noqa: PLW0108 - see above
            "repeat": lambda entry: self._repeats.append(entry),  # noqa: PLW0108 - see above
            "violation": lambda entry: self._violations.append(entry),  # noqa: PLW0108 - see above
            "reset": lambda _: self._clear(self._calls.maxlen or 0),
        }
        line = "\n"
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue
                take[entry.pop("record")](entry)
        return not line.endswith("\n")

    def _take_call(self, entry: CallEntry) -> None:
        row = tuple(str(value) for name, value in entry.items() if name != "at")
        if entry["call"] == Call.POST and (bid := self.bids.get(entry["token"])) is not None:
            bid.posts += 1
        self._count(datetime.fromisoformat(entry["at"]).timestamp(), row)

    def _take_bid(self, entry: dict[str, Any]) -> None:
        self.bids[entry["token"]] = Bid(**{**entry, "state": State(entry["state"])})

    def _take_sale(self, sale: Sale, bid: Bid | None) -> None:
        self.sales.append(sale)
        if bid is not None:
            bid.state, bid.price, bid.phone_number = State.SOLD, sale["price"], sale["phone_number"]


def _state_after(result: str, fault: str) -> State:
    """Return what a post that sold nothing means for its token."""
    if result == "none" or fault not in _READABLE:
        return State.UNANSWERED
    return State.REFUSED_FOR_NOW if result in _FOR_NOW else State.REFUSED

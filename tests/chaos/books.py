"""Compares four books of one run: the producer's, the ledger's, the log's and the buyer's. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

Line = Mapping[str, Any]
# A step writes its claim before the call and the sandbox its entry after: clocks and commits may differ by so much.
SLACK_S = 1.0
_RETOLD = ("late", "replayed")
NEVER_CAME = "was begun and its answer never came"  # the sweep's words for a post whose worker died
MICRO = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Entry:
    """A lead as the ledger has it. Money in dollars, times in seconds since 1970."""

    status: str | None
    token: str | None = None
    price: Decimal | None = None
    posted_at: float | None = None
    told: bool = True
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Books:
    """All that was written down in one run.

    `heard` are the outcomes a lead's producer heard, in order; `attempts` lead id, token and price of each exchange in
    the ledger; `sales`, `doubles` and `calls` as in the sandbox's book; `interruptions` when a worker of posts was
    killed, in seconds since 1970; `call_s` the longest time that a post may take; `secrets` must not stand in
    `log_text`.
    """

    accepted: frozenset[str]
    heard: Mapping[str, Sequence[Line]]
    leads: Mapping[str, Entry]
    attempts: Sequence[tuple[str, str | None, Decimal | None]] = ()
    lines: Sequence[Line] = ()
    log_text: str = ""
    sales: Sequence[Line] = ()
    doubles: Sequence[Line] = ()
    calls: Sequence[Line] = ()
    interruptions: Sequence[float] = ()
    call_s: float = 8.0
    secrets: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise: which, whose, and where to look."""

    rule: str
    lead_id: str
    where: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What the comparison gave: `violations`, outcomes by status, and unknown leads by cause."""

    violations: tuple[Violation, ...]
    statuses: Mapping[str, int]
    unknown: Mapping[str, int] = field(default_factory=dict)


def compare(books: Books) -> Findings:
    """Compare the books, each with each."""
    causes = {name: _cause(books, name, entry) for name, entry in books.leads.items() if entry.status == "unknown"}
    found = [
        *_outcomes(books),
        *_sales(books),
        *_log(books),
        *(
            Violation("an unknown that nothing explains", name, "ledger: posted_at; the plan's kills; buyer: calls")
            for name, cause in causes.items()
            if cause is None
        ),
    ]
    statuses = Counter(entry.status or "none" for entry in books.leads.values())
    return Findings(tuple(found), statuses, Counter(cause or "unexplained" for cause in causes.values()))


def _outcomes(books: Books) -> Iterator[Violation]:
    for name in sorted(books.accepted):
        entry = books.leads.get(name)
        if entry is None or entry.status is None:
            yield Violation("accepted, and without an outcome", name, "ledger: leads")
            continue
        if not entry.told:
            yield Violation("an outcome is not marked told", name, "ledger: leads.told_at, replies.told_at")
        heard = [_essence(outcome) for outcome in books.heard.get(name, ())]
        if not heard:
            yield Violation("an outcome was not told", name, "producer: heard")
        elif any(outcome != heard[0] for outcome in heard):
            yield Violation("two different outcomes", name, "producer: heard")
        elif heard[0].get("status") != entry.status:
            yield Violation("told otherwise than the ledger has it", name, "producer: heard; ledger: leads.status")


def _essence(outcome: Line) -> Line:
    return {name: value for name, value in outcome.items() if name not in _RETOLD}


def _sales(books: Books) -> Iterator[Violation]:
    by_lead: defaultdict[str, list[Line]] = defaultdict(list)
    for sale in books.sales:
        by_lead[sale["customid"]].append(sale)
    for double in books.doubles:
        yield Violation("posted again after a sale", str(double["customid"]), "buyer: doubles")
    for name, sales in by_lead.items():
        if len(sales) > 1:
            yield Violation("sold twice", name, "buyer: sales")
        entry = books.leads.get(name)
        if entry is None or entry.status not in ("sold", "unknown"):
            yield Violation("a sale that is neither sold nor unknown in ours", name, "buyer: sales; ledger: leads")
            continue
        for sale in sales:
            if (sale["token"] or None) != entry.token:
                yield Violation("another token than the buyer's", name, "buyer: sales; ledger: leads.token")
            if Decimal(sale["price"]) != entry.price:
                yield Violation("another price than the buyer's", name, "buyer: sales; ledger: leads.price_*")
    sold = {name: entry for name, entry in books.leads.items() if entry.status == "sold"}
    for name in sold.keys() - by_lead.keys():
        yield Violation("sold, and the buyer does not know", name, "buyer: sales; ledger: leads")
    ours = sum((entry.price or Decimal(0) for entry in sold.values()), Decimal(0))
    theirs = sum((Decimal(sale["price"]) for sale in books.sales if sale["customid"] in sold), Decimal(0))
    if ours != theirs:
        yield Violation(f"the payouts differ: {ours} here, {theirs} at the buyer", "*", "ledger; buyer: sales")


def _log(books: Books) -> Iterator[Violation]:
    logged: set[tuple[str, str, object]] = set()
    ended: set[tuple[str, object]] = set()
    for line in books.lines:
        name = str(line.get("lead_id"))
        if line["event"] in ("buyer.call", "lead.outcome"):
            logged.add((name, "token", line.get("token")))
            if line.get("price") is not None:
                logged.add((name, "price", Decimal(str(line["price"]))))
        if line["event"] == "lead.outcome":
            ended.add((name, line.get("status")))
    written = [*books.attempts, *((name, entry.token, entry.price) for name, entry in books.leads.items())]
    for name, what, value in sorted(_facts(written) - logged, key=str):
        yield Violation(f"a {what} without a log line", name, f"ledger: {what} {value}; log: buyer.call")
    for name, entry in books.leads.items():
        if entry.status is not None and (name, entry.status) not in ended:
            yield Violation("an outcome without a log line", name, "ledger: leads; log: lead.outcome")
    for number, secret in enumerate(books.secrets):
        if secret in books.log_text:
            # Which one, by its place in the list: this is printed.
            yield Violation(f"secret {number} stands in the log", "*", "log")


def _facts(written: Iterable[tuple[str, str | None, Decimal | None]]) -> set[tuple[str, str, object]]:
    facts: set[tuple[str, str, object]] = set()
    for name, token, price in written:
        facts |= {(name, what, value) for what, value in (("token", token), ("price", price)) if value is not None}
    return facts


def _cause(books: Books, name: str, entry: Entry) -> str | None:
    """Tell why a lead is unknown, or None. What the ledger gives as its reason must have happened."""
    never_came = entry.reason is None or NEVER_CAME in entry.reason
    if entry.reason is None or not never_came:
        mine = [call for call in books.calls if _is_mine(call, name, entry) and call["call"] != "ping"]
        if mine and mine[-1]["fault"]:
            return f"unread answer: {mine[-1]['fault']}"
    if never_came and entry.posted_at is not None:
        begin, end = entry.posted_at - SLACK_S, entry.posted_at + books.call_s + SLACK_S
        if any(begin <= at <= end for at in books.interruptions):
            return "in flight at a kill"
    return None


def _is_mine(call: Line, name: str, entry: Entry) -> bool:
    return call["customid"] == name or (entry.token is not None and call["token"] == entry.token)

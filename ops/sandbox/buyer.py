"""The stand-in buyer's mind: a request's fields in, what to answer and how out. No network here.

Behind the door (`door.py`) a call meets the scenario's rules, then the caps, then the token.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from random import Random
from zoneinfo import ZoneInfo

from ops.sandbox.book import Book
from ops.sandbox.door import Door
from ops.sandbox.entries import Bid, State, sale_of
from ops.sandbox.layouts import BY_RESPTYPE, Answer
from ops.sandbox.limits import Caps
from ops.sandbox.reading import Reading
from ops.sandbox.rulebook import Call, Findings, load_rulebook
from ops.sandbox.rules import Rules
from ops.sandbox.scenario import Fault, Layout, Rule, Scenario

_ANY = Rule()
_LATE_MS = 12_000.0
_SLOW_MS = 50.0


@dataclass(slots=True)
class Reply:
    """What goes back to the seller. Without an `answer` the `fault` is all there is; times are seconds."""

    answer: Answer | None
    layout: Layout
    http_status: int = 200
    latency_s: float = 0
    fault: Fault | None = None
    pause_s: float = 0
    retry_after_s: float | None = None


@dataclass(slots=True)
class _Offer:
    price: str
    duration: int
    phone_number: str | None


class Buyer:
    """The buyer of one scenario. It is not safe under threads: the server's loop alone talks to it.

    Args:
        now: seconds of a steady clock.
        today: the date in a time zone.
    """

    def __init__(
        self,
        scenario: Scenario,
        book: Book,
        *,
        now: Callable[[], float] = time.monotonic,
        today: Callable[[ZoneInfo], date] = lambda zone: datetime.now(zone).date(),
    ) -> None:
        self.book = book
        self._now = now
        self._today_in = today
        self.play(scenario)

    def play(self, scenario: Scenario) -> None:
        """Begin a scenario: counters, limits and clocks anew; the book goes on."""
        self.scenario = scenario
        self._rulebook = load_rulebook(scenario.categories, scenario.allow)
        self._door = Door(scenario, self._rulebook, self._now())
        self._rules = Rules(scenario)
        self._caps = Caps(scenario.caps)
        self._takes_lowest_bid = "price" in scenario.allow.get(Call.PING, ())
        self._zone = ZoneInfo(scenario.timezone)
        self._random = Random(scenario.seed)  # noqa: S311  # latencies to be repeated, not a secret
        chosen: dict[str, Layout] = BY_RESPTYPE | dict(scenario.layouts)
        self._default_layout = scenario.layout or chosen["default"]
        self._layouts = {resptype: scenario.layout or layout for resptype, layout in chosen.items()}

    def reset(self) -> None:
        """Forget everything and begin the scenario again."""
        self.book.reset()
        self.play(self.scenario)

    def new_day(self) -> None:
        """Make it the buyer's midnight: caps are open again."""
        self._caps.new_day()

    def answer(self, call: Call, method: str, reading: Reading) -> Reply:
        """Judge a call, note it in the book, and return what to send."""
        fields = reading.fields
        findings = self._rulebook.forms[call].examine(fields, reading.ill_formed)
        if findings is not None:
            self._complain(call, fields, findings)
        bid = self._bid_of(call, fields)
        refusal = self._door.refusal(call, fields, findings, self._now())
        if refusal is None:
            reply = self._decide(call, fields, bid)
        else:
            answer = self._refused(refusal.code, refusal.reason)
            reply = Reply(answer, self._layout(fields), retry_after_s=refusal.retry_after_s)
        self._note(call, method, fields, reply)
        return reply

    def unreadable(self, call: Call, method: str, why: str) -> Reply:
        """Refuse a request in which no fields could be read."""
        self.book.violation(call, {}, why)
        reply = Reply(self._refused(self.scenario.invalid_code, why), self._default_layout)
        self._note(call, method, {}, reply)
        return reply

    def redirect_followed(self) -> None:
        """Note that a seller went where a redirect pointed."""
        self.book.violation(Call.PING, {}, "followed a redirect")

    def _complain(self, call: Call, fields: Mapping[str, str], findings: Findings) -> None:
        for what, names in (
            (f"fields that {call} must not carry", findings.forbidden),
            ("fields that are missing", findings.missing),
            ("fields that are ill-formed", findings.ill_formed),
        ):
            if names:
                self.book.violation(call, fields, what, names)
        if findings.unknown:
            self.book.violation(call, fields, f"fields that are not in the table: {findings.unknown}")

    def _bid_of(self, call: Call, fields: Mapping[str, str]) -> Bid | None:
        bid = self.book.bids.get(fields.get("token", "")) if call is Call.POST else None
        if bid is not None:
            given = {"partnerid": bid.partnerid, "numcategory": bid.numcategory, "zipcode": bid.zipcode}
            differs = tuple(name for name, value in given.items() if fields.get(name) != value)
            if differs:
                self.book.violation(call, fields, "a post that differs from its ping", differs)
            self.book.post(bid, fields)
        return bid

    def _decide(self, call: Call, fields: Mapping[str, str], bid: Bid | None) -> Reply:
        rule = self._rules.find(call, fields) or _ANY
        fault = rule.fault
        if fault is not None and not (fault.sells if rule.sells is None else rule.sells):
            answer = None
        elif rule.code is not None:
            answer = self._refused(rule.code, rule.reason)
        else:
            answer = self._deal(call, fields, bid, rule)
        least, most = rule.latency_ms or self.scenario.latency_ms
        pause = rule.pause_ms
        if pause is None:
            pause = _LATE_MS if fault is Fault.LATE_SALE else _SLOW_MS
        return Reply(
            answer=answer,
            layout=rule.layout or self._layout(fields),
            http_status=rule.http_status,
            latency_s=(least if least == most else self._random.uniform(least, most)) / 1000,
            fault=fault,
            pause_s=pause / 1000,
            retry_after_s=rule.retry_after_s,
        )

    def _deal(self, call: Call, fields: Mapping[str, str], bid: Bid | None, rule: Rule) -> Answer:
        test = self._door.is_test(fields)
        if call is Call.POST and (said := self._used(bid)) is not None:
            return said
        if not test and self.scenario.caps and self._caps.reached(fields, self._today()):
            return self._refused(4000)
        offer = self._offer(call, fields, bid, rule)
        if call is not Call.PING:
            return self._sell(call, fields, bid, offer, test=test)
        if self._takes_lowest_bid and Decimal(fields.get("price") or 0) > Decimal(offer.price):
            return self._refused(6000)
        return self._bid(fields, offer)

    def _used(self, bid: Bid | None) -> Answer | None:
        """Return why a post's token buys nothing; or, where the scenario says so, the same sale once more."""
        code, life = self.scenario.token_code, self.scenario.token_life_s
        if bid is None:
            return self._refused(code, "Unknown token")
        if bid.state is State.SOLD and self.scenario.repeated_post == "same_sale":
            return Answer(bid.price, duration=bid.duration, phone_number=bid.phone_number)
        if bid.state in (State.SOLD, State.REFUSED):
            return self._refused(code, "Token already used")
        if life is not None and time.time() - bid.at >= life:
            return self._refused(code, "Token expired")
        return None

    def _offer(self, call: Call, fields: Mapping[str, str], bid: Bid | None, rule: Rule) -> _Offer:
        """Return the deal: a direct post's own price, else the rule's, the bid's, the category's, the scenario's."""
        scenario = self.scenario
        category = scenario.prices.get(fields["numcategory"], scenario.price)
        price = rule.price or (bid.price if bid is not None else category)
        if call is Call.DIRECT_POST:
            price = fields["price"]
        duration = rule.duration
        if duration is None:
            duration = bid.duration if bid is not None else scenario.duration
        return _Offer(price, duration, rule.phone_number or scenario.phone_number)

    def _bid(self, fields: Mapping[str, str], offer: _Offer) -> Answer:
        token = secrets.token_hex(16)
        partner, category, zipcode = (fields[name] for name in ("partnerid", "numcategory", "zipcode"))
        self.book.bid(Bid(token, time.time(), offer.price, offer.duration, partner, category, zipcode))
        return Answer(offer.price, token, offer.duration)

    def _sell(self, call: Call, fields: Mapping[str, str], bid: Bid | None, offer: _Offer, *, test: bool) -> Answer:
        # A number for each sale, so that a seller that mixes two answers up is found out.
        phone_number = offer.phone_number or f"1855{len(self.book.sales) + 1:07d}"
        sale = sale_of(call, fields, price=offer.price, duration=offer.duration, phone_number=phone_number, test=test)
        self.book.sell(sale, bid)
        if not test and self.scenario.caps:
            self._caps.count(fields, self._today())
        one_step = call is Call.ONE_STEP
        return Answer(
            price=offer.price if one_step or fields.get("price_tag") == "1" else None,
            token=secrets.token_hex(16) if one_step and self.scenario.one_step_token else None,
            duration=offer.duration if one_step else None,
            phone_number=phone_number,
        )

    def _refused(self, code: int, reason: str | None = None) -> Answer:
        words = reason if reason is not None else self._rulebook.meanings.get(code, "Ask Your Representative")
        return Answer(code=code, reason=words)

    def _layout(self, fields: Mapping[str, str]) -> Layout:
        return self._layouts.get(fields.get("resptype", ""), self._default_layout)

    def _note(self, call: Call, method: str, fields: Mapping[str, str], reply: Reply) -> None:
        answer = reply.answer
        said = "none" if answer is None else str(answer.code or "accepted")
        self.book.call(call, method, said, reply.fault or "", fields)

    def _today(self) -> date:
        return self._today_in(self._zone)

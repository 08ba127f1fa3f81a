"""Runs the buyer's test over HTTP: each step in each form, with the key `test_mode` and a caller that is a sample."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Final, cast, get_args

from tasks.buyers.certification import STEPS, Finding, Form, Mark, Step, is_transient, judge_step, offer
from tasks.buyers.evidence import Sample
from tasks.buyers.http import BuyerConfig, HttpBuyer, Method
from tasks.buyers.letsmakealead.wire import Sender, request_fields
from tasks.buyers.port import Exchange, Offer
from tasks.buyers.proposal import Proposal, propose, read
from tasks.buyers.registry import load_mapping
from tasks.core.bid import Bid
from tasks.core.protocol import Call
from tasks.core.reasons import Refusal
from workers.services import Wiring
from workers.settings import PREFIX, TEST_KEY

TRIES: Final = 5
LONGEST_WAIT_S: Final = 30.0
FORMATS: Final = ("JSON", "XML", "")
_MEDIA_TYPE: Final = re.compile(r"[\w.+-]{1,40}/[\w.+-]{1,40}", re.ASCII)


def every_form() -> tuple[Form, ...]:
    """Give every method with every format."""
    return tuple(Form(method, resptype) for method, resptype in product(get_args(Method), FORMATS))


@dataclass(frozen=True, slots=True)
class Taken:
    """A step that was taken, or not (`exchange` is None): how it went, and what was said."""

    finding: Finding
    exchange: Exchange | None = None
    content_type: str | None = None


class Run:
    """One run of the test. `samples` are the answers that a mapping may be proposed from."""

    def __init__(self, wiring: Wiring, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.samples: list[Sample] = []
        self._protocol = wiring.protocol
        self._mapping = wiring.mapping
        self._rules = wiring.rules
        self._config = replace(wiring.buyer_config, key=TEST_KEY)
        self._sleep = sleep
        self._name = f"certify-{time.strftime('%Y%m%d%H%M%S', time.gmtime())}"
        self._count = 0
        self._tries = TRIES
        self._heard: tuple[bytes, str | None] | None = None

    def take(self, forms: Iterable[Form]) -> Iterator[Taken]:
        """Take every step in each of these forms, one after another, each told as soon as it is over."""
        for form in forms:
            config = replace(self._config, method=cast("Method", form.method), resptype=form.resptype)
            buyer = HttpBuyer(self._protocol, self._mapping, config, listen=self._listen)
            try:
                yield from self._form(form, buyer, config)
            finally:
                buyer.close()

    def proposal(self) -> Proposal | None:
        """Give a mapping that would read what could not be read; None: nothing is to be proposed."""
        return propose(self.samples, self._mapping, load_mapping(), self._protocol)

    def _form(self, form: Form, buyer: HttpBuyer, config: BuyerConfig) -> Iterator[Taken]:
        answers: dict[str, Sample] = {}
        for step in STEPS:
            wanted = (Call.PING, step.call) if step.bid else (step.call,)
            if missing := [call for call in wanted if not config.endpoints[call]]:
                why = f"not tried: {PREFIX}{missing[0].upper()}_URL is not set"
                yield Taken(Finding(form, step, Mark.SKIPPED, why))
                continue
            bid = self._bid(answers.get(step.bid)) if step.bid else None
            if step.bid and bid is None:
                yield Taken(Finding(form, step, Mark.WRONG, "not tried: there is no bid to post against"))
                continue
            taken, sample = self._step(form, step, buyer, bid, config)
            if sample is not None:
                answers[step.name] = sample
            yield taken

    def _bid(self, sample: Sample | None) -> Bid | None:
        """Give the bid to post against.

        One that could not be read is taken as the mapping that is proposed would read it: in test mode nothing is
        sold, and without a post nothing is known of the answers to posts.
        """
        if sample is None:
            return None
        answer = sample.answer
        if sample.unread and (proposal := self.proposal()):
            answer = read(sample, proposal.mapping, self._protocol)
        return answer if isinstance(answer, Bid) else None

    def _step(
        self, form: Form, step: Step, buyer: HttpBuyer, bid: Bid | None, config: BuyerConfig
    ) -> tuple[Taken, Sample | None]:
        self._count += 1
        asked = offer(step, f"{self._name}-{self._count}", self._protocol, floor=self._rules.floor, bid=bid)
        exchange = self._ask(step, buyer, asked)
        finding = judge_step(form, step, exchange.answer, self._protocol)
        if self._heard is None or exchange.http_status is None:
            return Taken(finding, exchange), None
        body, content_type = self._heard
        sender = Sender(config.partner_id, config.key, config.resptype, config.send_price)
        sent = request_fields(step.call, asked, sender, self._protocol)
        status, answer = exchange.http_status, exchange.answer
        sample = Sample(step.call, step.positive, sent, body, content_type, status, answer)
        if finding.mark is Mark.RIGHT or sample.unread:
            self.samples.append(sample)
        return Taken(finding, exchange, _media_type(content_type)), sample

    def _ask(self, step: Step, buyer: HttpBuyer, asked: Offer) -> Exchange:
        """Ask, and again where the buyer says "not now": an explicit 1000 or 1100 proves that there was no sale."""
        turn = 0
        while True:
            turn += 1
            self._heard = None
            exchange = buyer.ask(step.call, asked, self._rules.timeout_s(step.call))
            if not is_transient(exchange.answer, self._protocol):
                return exchange
            if turn >= self._tries:
                self._tries = 1  # it has been waited for: the steps after this one do not wait again
                return exchange
            wish = exchange.answer.retry_after_s if isinstance(exchange.answer, Refusal) else None
            self._sleep(min(2.0**turn if wish is None else wish, LONGEST_WAIT_S))

    def _listen(self, body: bytes, content_type: str | None) -> None:
        self._heard = (body, content_type)


def _media_type(content_type: str | None) -> str | None:
    """Give a header's media type, and nothing else that a stranger may have put there."""
    found = _MEDIA_TYPE.match(content_type or "")
    return found[0] if found else None

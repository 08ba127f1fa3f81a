"""The buyer's test mode as steps: which calls it asks for, what each must bring, and what all of them amount to.

Pure (seed, Test mode): a step is what to ask and what would be right; `workers/certifying.py` asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tasks.buyers.port import Offer
from tasks.core.bid import Bid
from tasks.core.lead import Flow
from tasks.core.money import Money
from tasks.core.protocol import Action, Call, Code, Protocol
from tasks.core.reasons import Answer, Refusal, Unanswered, Unreadable
from tasks.core.sale import Sale

NO_MATCH: Final = "nomatch"
# The page's own examples: nobody's data.
SAMPLE: Final[Mapping[str, str]] = {
    "numcategory": "16001",
    "transfer_type": "1",
    "zipcode": "33139",
    "state": "FL",
    "firstname": "John",
    "lastname": "Doe",
    "telephone": "8772681223",
    "email": "john.doe@gmail.com",
}
CALLS_OF: Final[Mapping[Flow, tuple[Call, ...]]] = {
    Flow.PING_POST: (Call.PING, Call.POST),
    Flow.ONE_STEP: (Call.ONE_STEP,),
    Flow.DIRECT_POST: (Call.DIRECT_POST,),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One call of the test: `positive` asks for an acceptance (subid ``match``), otherwise for a refusal.

    `bid`: the step, by its name, whose bid a post is made against.
    """

    name: str
    call: Call
    positive: bool
    bid: str | None = None


# One-step first: it is the only endpoint that the buyer's page states. Each post has a token of its own.
STEPS: Final = (
    Step("one-step, accepted", Call.ONE_STEP, positive=True),
    Step("one-step, refused", Call.ONE_STEP, positive=False),
    Step("ping, accepted", Call.PING, positive=True),
    Step("ping, accepted again", Call.PING, positive=True),
    Step("ping, refused", Call.PING, positive=False),
    Step("post, accepted", Call.POST, positive=True, bid="ping, accepted"),
    Step("post, refused", Call.POST, positive=False, bid="ping, accepted again"),
    Step("direct post, accepted", Call.DIRECT_POST, positive=True),
    Step("direct post, refused", Call.DIRECT_POST, positive=False),
)


class Mark(StrEnum):
    """How a step went."""

    RIGHT = "right"
    WRONG = "not right"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Form:
    """In which form calls are made: `method`, and the `resptype` that is asked for."""

    method: str
    resptype: str

    def __str__(self) -> str:
        return f"{self.method}, {self.resptype or 'default format'}"


@dataclass(frozen=True, slots=True)
class Finding:
    """How a step went in a form, and why; `notes` are what to ask the buyer all the same."""

    form: Form
    step: Step
    mark: Mark
    why: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What all steps amount to: whether leads may be sold with the live key, in the form and the flow that are set.

    `reasons` say why not; `remarks` what else was found: what the yes does not hold for, and what works besides.
    `notes` are what to ask the buyer.
    """

    go_live: bool
    reasons: tuple[str, ...]
    remarks: tuple[str, ...]
    notes: tuple[str, ...]


def offer(step: Step, customid: str, protocol: Protocol, *, floor: Money, bid: Bid | None) -> Offer:
    """Give what a step offers; a post needs the `bid` of the ping before it.

    Prices are those of a live call, `floor` a ping's; whether they are sent is for configuration to say. A direct
    post's is the page's own, written as it is there.
    """
    fields = {**SAMPLE, "subid": protocol.test_subid if step.positive else NO_MATCH}
    match step.call:
        case Call.DIRECT_POST:
            price = protocol.test_price
            return Offer(fields, customid, price=Money.parse(price), price_text=price)
        case Call.POST if bid is not None:
            return Offer(fields, customid, token=bid.token, price=bid.price)
        case Call.PING:
            return Offer(fields, customid, price=floor)
        case _:
            return Offer(fields, customid)


def judge_step(form: Form, step: Step, answer: Answer, protocol: Protocol) -> Finding:
    """Say whether an answer could be read, and is of the kind that was asked for."""
    wrong = _wrong(step, answer, protocol)
    if wrong:
        return Finding(form, step, Mark.WRONG, wrong)
    return Finding(form, step, Mark.RIGHT, notes=tuple(_notes(step, answer, protocol)))


def is_transient(answer: Answer, protocol: Protocol) -> bool:
    """Whether an answer says but "not now" (1000, 1100). It proves that there was no sale: the step is taken again."""
    code = _code(answer, protocol)
    return code is not None and code.action in (Action.WAIT, Action.SLOW)


def conclude(findings: Sequence[Finding], form: Form, flow: Flow) -> Verdict:
    """Say yes or no to going live with the form and the flow that are set.

    Only a call that this flow makes, and in this form, can say no: of what else was tried is told how it went.
    """
    here = [finding for finding in findings if finding.form == form]
    ours = CALLS_OF[flow]
    reasons = dict.fromkeys(_said(one) for one in here if one.step.call in ours and one.mark is not Mark.RIGHT)
    remarks = dict.fromkeys(_said(one) for one in here if one.step.call not in ours and one.mark is not Mark.RIGHT)
    notes = dict.fromkeys(f"{finding.step.name}: {note}" for finding in findings for note in finding.notes)
    besides = (*_flows(here, flow), *_forms(findings, form, flow))
    return Verdict(not reasons, tuple(reasons), (*remarks, *besides), tuple(notes))


def _flows(here: Sequence[Finding], flow: Flow) -> Iterator[str]:
    for other in CALLS_OF:
        if other is not flow and _works(here, other):
            yield f"the flow {other} works too"


def _forms(findings: Sequence[Finding], form: Form, flow: Flow) -> Iterator[str]:
    for other in dict.fromkeys(finding.form for finding in findings if finding.form != form):
        works = _works([finding for finding in findings if finding.form == other], flow)
        yield f"the form {other} {'works too' if works else 'does not work'}"


def _works(here: Sequence[Finding], flow: Flow) -> bool:
    return all(_all_right(one for one in here if one.step.call is call) for call in CALLS_OF[flow])


def _all_right(findings: Iterable[Finding]) -> bool:
    marks = [finding.mark for finding in findings]
    return bool(marks) and all(mark is Mark.RIGHT for mark in marks)


def _said(finding: Finding) -> str:
    """Say why a step is not right; of a call that was not tried once, and not for each step."""
    return f"{finding.step.call if finding.mark is Mark.SKIPPED else finding.step.name}: {finding.why}"


def _wrong(step: Step, answer: Answer, protocol: Protocol) -> str:
    """Say why an answer is not what was asked for; nothing where it is."""
    if isinstance(answer, Unreadable):
        return f"cannot be read ({answer.why})"
    if isinstance(answer, Unanswered):
        return f"no answer ({answer.why})"
    if isinstance(answer, Bid | Sale):
        return "" if step.positive else "accepted, where a refusal was asked for"
    words = " ".join(str(part) for part in (answer.code, answer.reason) if part)
    code = _code(answer, protocol)
    if code is not None and code.action is Action.BLOCKED:
        return f"{words}: that is the account's, not the lead's"
    if is_transient(answer, protocol):
        return f"{words}: still, after waiting"
    return f"refused ({words}), where an acceptance was asked for" if step.positive else ""


def _notes(step: Step, answer: Answer, protocol: Protocol) -> Iterator[str]:
    if isinstance(answer, Bid | Sale) and answer.duration_s is None and step.call in (Call.PING, Call.ONE_STEP):
        yield "no call duration was told: how long must the call last?"
    if isinstance(answer, Sale) and answer.price is None:
        yield "no price was told, though price_tag=1 was sent"
    code = _code(answer, protocol)
    if code is not None and not code.listed:
        yield f"{code.number} is not a code of the page: what does it mean?"


def _code(answer: Answer, protocol: Protocol) -> Code | None:
    return protocol.code(answer.code) if isinstance(answer, Refusal) and answer.code else None

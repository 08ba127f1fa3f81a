"""The buyer's wire, purely: what a call sends, and what an answer's facts amount to. No bytes, no network, no clock.

What is neither clearly a bid, nor clearly a sale, nor clearly a refusal is `Unreadable`, with the reason why.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Literal, assert_never

from tasks.buyers.answers import Facts, dialled
from tasks.buyers.port import Offer
from tasks.core.bid import Bid
from tasks.core.protocol import Call, FieldRule, Protocol
from tasks.core.reasons import Refusal, Unreadable
from tasks.core.sale import Sale

LONGEST_RETRY_AFTER_S: Final = 86_400.0
# Statuses of a proxy or a limiter, not of the buyer's mind: they tell nothing about the lead.
_NOT_THE_BUYER: Final = frozenset({408, 425, 429})
_LEADING_CODE: Final = re.compile(r"\W*(\d{3,6})(?!\w|[.,]\d)", re.ASCII)
_SECONDS: Final = re.compile(r"\d{1,9}(?:\.\d{1,9})?", re.ASCII)

SendPrice = Literal["none", "ping", "post", "both"]


@dataclass(frozen=True, slots=True)
class Sender:
    """Who calls, and how: the credentials, the format asked for, and the calls that carry a price (`send_price`)."""

    partner_id: str
    key: str = field(repr=False)
    resptype: str = "JSON"
    send_price: SendPrice = "none"


def request_fields(call: Call, offer: Offer, sender: Sender, protocol: Protocol) -> dict[str, str]:
    """Give what a call sends, in the order of the fields table. What the table bars from a call is never in it.

    Raises:
        ValueError: the call cannot be made without a token or a price, and the offer has none.
    """
    fields: dict[str, str] = {}
    for rule in protocol.fields:
        if rule.presence[call] == "no" and not _is_asked_for(rule, call, sender):
            continue
        value = _value(rule, offer, sender)
        if value:
            fields[rule.name] = value
        elif rule.presence[call] == "required" and rule.source in ("bid", "offer"):
            raise ValueError(f"a {call} needs a {rule.name}")
    return fields


def _is_asked_for(rule: FieldRule, call: Call, sender: Sender) -> bool:
    """Whether configuration sends a price where the table has none (buyer-api, Fields: `price`)."""
    return rule.source == "offer" and call in (Call.PING, Call.POST) and sender.send_price in (call.value, "both")


def _value(rule: FieldRule, offer: Offer, sender: Sender) -> str | None:
    match rule.source:
        case "credential":
            return sender.key if rule.secret else sender.partner_id
        case "format":
            return sender.resptype
        case "constant":
            return rule.constant
        case "offer":
            return None if offer.price is None else offer.price_text or str(offer.price)
        case "bid":
            return offer.token
        case "lead":
            return offer.customid if rule.name == "customid" else offer.fields.get(rule.name)
        case _:  # pragma: no cover - mypy proves that there is no other source
            assert_never(rule.source)


def interpret(
    call: Call,
    facts: Facts | Unreadable,
    http_status: int,
    protocol: Protocol,
    *,
    retry_after_s: float | None = None,
    telephone: str = "",
    sent: Mapping[str, str] | None = None,
    echoes: Collection[str] = (),
) -> Bid | Sale | Refusal | Unreadable:
    """Decide what an answer's facts amount to.

    Args:
        retry_after_s: the header's, kept with a refusal and with an answer that cannot be read.
        telephone: the caller's own. A buyer that echoes the request has not told where to forward.
        sent: the request's fields.
        echoes: those of them that an answer may tell only as they were sent (`AnswerMapping.echoes`).
    """
    if 300 <= http_status < 400:
        return Unreadable(f"a redirect (HTTP {http_status})", retry_after_s)
    if isinstance(facts, Unreadable):
        return replace(facts, retry_after_s=retry_after_s)
    for name in echoes:
        told, ours = getattr(facts, name), (sent or {}).get(name)
        if told is not None and ours and told.casefold() != ours.casefold():
            return Unreadable(f"an answer for another lead: the {name} is not the one that was sent", retry_after_s)
    if telephone and facts.phone_number and dialled(facts.phone_number) == dialled(telephone):
        facts = replace(facts, phone_number=None)
    try:
        code = _code(facts, http_status, protocol)
        answer = _sale(facts, code) if call.sells else _bid(facts, code, listed=code in protocol.codes)
        if isinstance(answer, Refusal):
            _check_refusal(answer, facts, http_status)
            return replace(answer, retry_after_s=retry_after_s)
    except _NotReadable as fault:
        return Unreadable(str(fault), retry_after_s)
    if not 200 <= http_status < 300:
        return Unreadable(f"a {'sale' if call.sells else 'bid'} with HTTP {http_status}", retry_after_s)
    return answer


class _NotReadable(ValueError):
    """The facts amount to nothing; the text says why, in words of ours."""


def _code(facts: Facts, http_status: int, protocol: Protocol) -> int | None:
    """Give the code: the explicit one, else a listed one in place of a status or at the head of a refusal's reason."""
    code = facts.code
    if code == http_status and code >= 400 and code not in protocol.codes:
        code = None  # HTTP's own status, repeated in the body by some framework
    told = {int(saying) for saying in facts.status_words if _is_listed(saying, protocol)}
    if code is not None:
        told.add(code)
    if not told and facts.accepted is not True:
        words = facts.reason or (facts.remark if facts.accepted is False else None) or ""
        found = _LEADING_CODE.match(words)
        told = {int(found[1])} if found and _is_listed(found[1], protocol) else set()
    if len(told) > 1:
        raise _NotReadable("the answer contradicts itself: code")
    return next(iter(told), None)


def _is_listed(text: str, protocol: Protocol) -> bool:
    return len(text) < 10 and text.isascii() and text.isdecimal() and int(text) in protocol.codes


def _bid(facts: Facts, code: int | None, *, listed: bool) -> Bid | Refusal:
    if facts.phone_number is not None and (facts.token is None or facts.price is None):
        raise _NotReadable("a phone number where a bid was due")
    if facts.accepted and listed:
        raise _NotReadable(f"accepted, and code {code}")
    if facts.accepted is False:
        return _refusal(facts, code)
    if facts.token is not None and facts.price is not None:
        says_no = listed or (facts.reason is not None and not facts.accepted)
        if not says_no:
            return Bid(facts.price, facts.token, facts.duration_s)
        if facts.price.micros:
            raise _NotReadable("a bid beside a code or a reason for a refusal")
    if not facts.accepted and (code is not None or facts.reason is not None):
        return _refusal(facts, code)
    raise _NotReadable(_missing(facts, ("price", "token")))


def _sale(facts: Facts, code: int | None) -> Sale | Refusal:
    if facts.accepted and code is not None:
        raise _NotReadable(f"accepted, and code {code}")
    says_no = facts.accepted is False or code is not None
    if facts.phone_number is not None:
        if says_no or (facts.reason is not None and not facts.accepted):
            raise _NotReadable("a phone number beside a refusal")
        return Sale(facts.phone_number, facts.price, facts.duration_s, facts.token)
    if says_no or (facts.reason is not None and not facts.accepted and "phone_number" not in facts.faults):
        return _refusal(facts, code)
    raise _NotReadable(_missing(facts, ("phone_number",)))


def _missing(facts: Facts, needed: tuple[str, ...]) -> str:
    status = "accepted" if facts.accepted else "neither accepted nor rejected"
    wanting = [name for name in needed if getattr(facts, name) is None]
    said = [f"{name} {'that cannot be read' if name in facts.faults else 'missing'}" for name in wanting]
    return f"{status}, {', '.join(said)}".replace("phone_number", "phone number")


def _refusal(facts: Facts, code: int | None) -> Refusal:
    return Refusal(code, facts.reason or facts.remark)


def _check_refusal(refusal: Refusal, facts: Facts, http_status: int) -> None:
    """Refuse a codeless refusal that a server in trouble or a limiter may have said in the buyer's place.

    Raises:
        _NotReadable: it proves nothing about the lead.
    """
    in_trouble = http_status >= 500 or http_status in _NOT_THE_BUYER
    if refusal.code is None and (in_trouble or (http_status >= 400 and facts.accepted is None)):
        raise _NotReadable(f"a refusal without a code, with HTTP {http_status}")


def read_retry_after(header: str | None, now: Callable[[], datetime]) -> float | None:
    """Read a Retry-After header, seconds or an HTTP date, as seconds from 0 to 86400. Nonsense is None."""
    text = (header or "").strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), LONGEST_RETRY_AFTER_S)
    try:
        at = parsedate_to_datetime(text)
        wait = (at if at.tzinfo else at.replace(tzinfo=UTC)) - now()
    except (ValueError, OverflowError):  # an hour, or an offset, that no clock has
        return None
    return min(max(wait.total_seconds(), 0.0), LONGEST_RETRY_AFTER_S)

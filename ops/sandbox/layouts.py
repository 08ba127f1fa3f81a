"""Answer layouts. The buyer's page names only `PhoneNumber`; these are the shapes that other buyers' answers take."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from ops.sandbox.scenario import Layout

BY_RESPTYPE = {"JSON": Layout.FLAT_JSON, "XML": Layout.XML_ELEMENTS, "default": Layout.KEY_VALUE}


@dataclass(slots=True)
class Answer:
    """What the buyer says. `price` is dollars as a decimal string, `duration` seconds; a code means no."""

    price: str | None = None
    token: str | None = None
    duration: int | None = None
    phone_number: str | None = None
    code: int | None = None
    reason: str | None = None


@dataclass(slots=True)
class Rendered:
    """An answer as bytes."""

    content_type: str
    body: bytes


Facts = list[tuple[str, str]]


def render(layout: Layout, answer: Answer) -> Rendered:
    """Write an answer in a layout."""
    content_type, write = _LAYOUTS[layout]
    return Rendered(content_type, write(answer).encode())


def _named(answer: Answer, names: tuple[str, str, str, str, str, str], status: str, yes: str, no: str) -> Facts:
    """Name the facts that are known; `names` are those of price, token, duration, phone number, code, reason."""
    facts = [(status, yes if answer.code is None else no)]
    values = (
        answer.price,
        answer.token,
        answer.duration,
        answer.phone_number,
        answer.code,
        answer.reason,
    )
    facts += [(name, str(value)) for name, value in zip(names, values, strict=True) if value is not None]
    return facts


_PLAIN = ("price", "token", "duration", "PhoneNumber", "errorCode", "reason")


def _flat_json(answer: Answer) -> str:
    said: dict[str, object] = dict(_named(answer, _PLAIN, "status", "accepted", "rejected"))
    numbers = {"duration": answer.duration, "errorCode": answer.code}
    return json.dumps(said | {name: number for name, number in numbers.items() if number is not None})


def _nested_json(answer: Answer) -> str:
    """Write groups of facts, with the price as a JSON number in the digits that the scenario gave it."""
    groups = [f'"result": {{"success": {"true" if answer.code is None else "false"}}}']
    offer = [f'"payout": {answer.price}'] if answer.price is not None else []
    offer += [f'"call_duration": {answer.duration}'] if answer.duration is not None else []
    offer += [f'"token": {json.dumps(answer.token)}'] if answer.token is not None else []
    if offer:
        groups.append(f'"offer": {{{", ".join(offer)}}}')
    if answer.phone_number is not None:
        groups.append(f'"call": {{"phone_number": {json.dumps(answer.phone_number)}}}')
    if answer.code is not None:
        groups.append(f'"error": {{"code": {answer.code}, "reason": {json.dumps(answer.reason)}}}')
    return f'{{"response": {{{", ".join(groups)}}}}}'


def _loud_json(answer: Answer) -> str:
    names = ("BID_PRICE", "TOKEN", "CALL-DURATION", "PHONE_NUMBER", "ERROR_CODE", "REASON")
    said = dict(_named(answer, names, "STATUS", "ACCEPTED", "REJECTED"))
    said.setdefault("ERROR_CODE", "0")
    return json.dumps(said)


def _xml_elements(answer: Answer) -> str:
    facts = _named(answer, _PLAIN, "status", "accepted", "rejected")
    return _xml("response", "", (f"<{name}>{escape(value)}</{name}>" for name, value in facts))


def _xml_attributes(answer: Answer) -> str:
    facts = _named(answer, _PLAIN, "status", "accepted", "rejected")
    return _xml("response", "".join(f" {name}={quoteattr(value)}" for name, value in facts), ())


def _opaque_xml(answer: Answer) -> str:
    facts = _named(answer, ("x1", "x2", "x3", "x4", "x5", "x6"), "x0", "A", "R")
    return _xml("r", "", (f"<f n={quoteattr(name)} v={quoteattr(value)}/>" for name, value in facts))


def _xml(root: str, attributes: str, children: Iterable[str]) -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{root}{attributes}>{"".join(children)}</{root}>\n'


def _key_value(answer: Answer) -> str:
    facts = _named(answer, _PLAIN, "status", "accepted", "rejected")
    return "".join(f"{name}={' '.join(value.split())}\n" for name, value in facts)


def _foreign_json(answer: Answer) -> str:
    bid = {"betrag": answer.price, "dauer": answer.duration, "kennung": answer.token}
    groups: dict[str, object] = {"stand": "angenommen" if answer.code is None else "abgelehnt"}
    groups["gebot"] = {name: value for name, value in bid.items() if value is not None}
    if answer.phone_number is not None:
        groups["rufziel"] = {"nummer": answer.phone_number}
    if answer.code is not None:
        groups["fehler"] = {"nummer": answer.code, "text": answer.reason}
    return json.dumps({"antwort": groups})


_LAYOUTS: dict[Layout, tuple[str, Callable[[Answer], str]]] = {
    Layout.FLAT_JSON: ("application/json", _flat_json),
    Layout.NESTED_JSON: ("application/json", _nested_json),
    Layout.XML_ELEMENTS: ("application/xml", _xml_elements),
    Layout.XML_ATTRIBUTES: ("text/xml", _xml_attributes),
    Layout.KEY_VALUE: ("text/plain", _key_value),
    Layout.LOUD_JSON: ("text/html", _loud_json),
    Layout.OPAQUE_XML: ("text/xml", _opaque_xml),
    Layout.FOREIGN_JSON: ("application/json", _foreign_json),
}

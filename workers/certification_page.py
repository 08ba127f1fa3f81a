"""The page that goes to the buyer after a test run: what was asked, what was answered, how it was read, what is open.

One HTML file that needs no other. It holds no key and no caller: requests and answers are masked, and the caller is the
sample of the buyer's own page.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from html import escape
from importlib.resources import files
from typing import Final

from tasks.buyers.certification import Mark, Verdict
from tasks.buyers.port import Exchange
from tasks.buyers.proposal import Proposal
from tasks.core.protocol import Call
from workers.certifying import Taken
from workers.places import without_password
from workers.readings import as_object
from workers.settings import PREFIX

_QUESTION: Final = re.compile(r"^\| \d+ \| (?P<question>.+?) \| (?P<changes>.+?) \| .+ \|$", re.MULTILINE)
_VARIABLE: Final = re.compile(rf"`{PREFIX}([A-Z_]+)[`=]")
_SHOWN: Final = "`pingpost certify` shows it"
_HOW: Final = {"form": "POST, URL-encoded", "json": "POST, JSON", "get": "GET"}
_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24 }
h1 { font-size: 1.6rem; margin-bottom: 0 } h2 { margin-top: 2.2rem } h3 { margin: 2rem 0 .3rem }
table { border-collapse: collapse; width: 100% } th { font-weight: 600 }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #d7dbe0; vertical-align: top }
code, pre { font: 13px/1.45 ui-monospace, monospace; overflow-wrap: anywhere; white-space: pre-wrap }
pre { margin: 0 } section table { table-layout: fixed } section th { width: 30% } section th:nth-child(2) { width: 42% }
.right { color: #14712e } .wrong { color: #b3261e } .quiet { color: #5a636e }
section { break-inside: avoid }
"""


def open_questions(settled: Collection[str], *, shown: bool) -> list[str]:
    """Give the questions of `ops/ask-your-representative.md` that are open.

    One is settled when every variable that its answer changes is among `settled` (named without the prefix), or where
    a test shows the answer and has passed (`shown`). One whose answer changes no variable stays open until its number
    is struck out (``~~7~~``).
    """
    text = (files("ops") / "ask-your-representative.md").read_text(encoding="utf-8")
    found = []
    for row in _QUESTION.finditer(text):
        variables = _VARIABLE.findall(row["changes"])
        is_settled = bool(variables) and set(variables) <= set(settled)
        if not is_settled and not (shown and _SHOWN in row["changes"]):
            found.append(row["question"])
    return found


def page(
    taken: Sequence[Taken],
    verdict: Verdict,
    *,
    partner_id: str,
    endpoints: Mapping[Call, str | None],
    proposal: Proposal | None,
    questions: Iterable[str],
    now: datetime,
) -> str:
    """Write the page."""
    asked = [(one, one.exchange) for one in taken if one.exchange is not None]
    right = sum(one.finding.mark is Mark.RIGHT for one, _ in asked)
    title = escape(f"Test of your API by partner {partner_id}")
    told = "all" if right == len(asked) else str(right)
    lines = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
        f"<style>{_STYLE}</style></head><body>",
        f'<h1>{title}</h1><p class="quiet">{now:%Y-%m-%d %H:%M} UTC, in your test mode</p>',
        f"<p>Of {len(asked)} calls {told} were answered as your page says. The caller is your own sample; names,",
        " address, telephone, e-mail and the key are shown as <code>***</code>.</p>",
        "<table><tr><th>#<th>call<th>form<th>HTTP<th>ms<th>answer",
        *(_row(number, one, exchange) for number, (one, exchange) in enumerate(asked, 1)),
        "</table>",
    ]
    if proposal is not None:
        lines += ["<h2>Is this how your answers are to be read?</h2>", *_guesses(proposal)]
    if mine := [*verdict.notes, *questions]:
        lines += ["<h2>Questions</h2><ol>", *(f"<li>{_text(question)}" for question in mine), "</ol>"]
    lines += ["<h2>Each call</h2>"]
    lines += (
        line for number, (one, exchange) in enumerate(asked, 1) for line in _call(number, one, exchange, endpoints)
    )
    return "\n".join([*lines, "</body></html>", ""])


def _row(number: int, one: Taken, exchange: Exchange) -> str:
    finding = one.finding
    named = escape(f"{finding.step.name}")
    cells = (
        str(number),
        f'<a href="#call-{number}">{named}</a>',
        escape(str(finding.form)),
        str(exchange.http_status or "-"),
        f"{exchange.duration_ms:.0f}",
        _mark(one),
    )
    return f"<tr><td>{'<td>'.join(cells)}"


def _mark(one: Taken) -> str:
    if one.finding.mark is Mark.RIGHT:
        return '<span class="right">as expected</span>'
    return f'<span class="wrong">{escape(one.finding.why)}</span>'


def _call(number: int, one: Taken, exchange: Exchange, endpoints: Mapping[Call, str | None]) -> Iterator[str]:
    step, form = one.finding.step, one.finding.form
    url = escape(without_password(endpoints[step.call] or ""))
    fields = escape("\n".join(f"{name}={value}" for name, value in exchange.request.items()))
    yield f'<section id="call-{number}"><h3>{number}. {escape(step.name)}</h3>'
    yield f"<p>{_HOW[form.method]}, to <code>{url}</code>: {_mark(one)}</p>"
    yield "<table><tr><th>we sent<th>you answered<th>we read"
    yield f"<tr><td><pre>{fields}</pre><td>{_answer(one, exchange)}<td><pre>{escape(_reading(exchange))}</pre>"
    yield "</table></section>"


def _answer(one: Taken, exchange: Exchange) -> str:
    if exchange.http_status is None:
        return "nothing"
    kind = escape(one.content_type or "no content type")
    head = f'<span class="quiet">HTTP {exchange.http_status}, {kind}, {exchange.duration_ms:.0f} ms</span>'
    return f"{head}<pre>{escape(exchange.raw)}</pre>"


def _reading(exchange: Exchange) -> str:
    return "\n".join(f"{name}: {value}" for name, value in as_object(exchange.answer).items() if value is not None)


def _guesses(proposal: Proposal) -> Iterator[str]:
    yield "<p>Your answers name their elements in a way that we do not know. From their values we take it that:</p><ul>"
    for guess in proposal.guesses:
        fact, sure = guess.fact.replace("_", " "), guess.certainty.name.lower()
        yield f"<li><code>{escape(guess.name)}</code> is the {fact} ({sure}: {escape(guess.why)})"
    yes, no = proposal.keys.get("accepted"), proposal.keys.get("rejected")
    if yes and no:
        yield f"<li>{_words(yes)} says yes, {_words(no)} says no"
    yield "</ul>"


def _words(words: Iterable[str]) -> str:
    return " or ".join(f"<code>{escape(word)}</code>" for word in words)


def _text(markdown: str) -> str:
    """Give a question of the document, of whose Markdown it uses nothing but code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(markdown))

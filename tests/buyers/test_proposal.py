"""A mapping proposed from a test run's answers: whatever the names, the values give the facts away; it is a guess."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.sandbox.layouts import Answer as Told
from ops.sandbox.layouts import render
from ops.sandbox.scenario import Layout
from tasks.buyers.certification import STEPS, offer
from tasks.buyers.clues import Certainty
from tasks.buyers.evidence import Sample
from tasks.buyers.letsmakealead.wire import Sender, request_fields
from tasks.buyers.mapping import AnswerMapping
from tasks.buyers.proposal import Proposal, as_toml, propose, read
from tasks.buyers.registry import load_mapping, load_protocol, mapping_with
from tasks.core.bid import Bid
from tasks.core.money import Money
from tasks.core.protocol import Call
from tasks.core.reasons import Refusal, Unreadable
from tasks.core.sale import Sale

MAPPING = load_mapping()
PROTOCOL = load_protocol()
SENDER = Sender("XYZ", "test_mode", "JSON")
ON = date(2026, 11, 26)
TOKENS = ("e69412030cc93b47cf5be6f7e3ee998c", "03cc93b47cf5be6f7e3ee998ce694120")
NUMBER = "18555550100"
Facts = dict[str, str]
Write = Callable[[Call, Facts], str]


@dataclass(frozen=True)
class Values:
    """What a buyer says in a run."""

    yes: str = "A"
    no: str = "R"
    price: str = "9.50"
    duration: str = "60"
    number: str = NUMBER
    code: str = "5000"
    reason: str = "No coverage or buyers"
    tokens: tuple[str, str] = TOKENS


def run(
    write: Write, values: Values = Values(), mapping: AnswerMapping = MAPPING, *, echo: tuple[str, ...] = ()
) -> list[Sample]:
    """Every step of the test, answered by `write`, which gives a body for the facts of an answer.

    `echo` names the fields that are said back.
    """
    samples = []
    for number, step in enumerate(STEPS):
        token = values.tokens[number % 2]
        asked = offer(step, f"certify-{number}", PROTOCOL, floor=Money(0), bid=Bid(Money(1), token))
        sent = request_fields(step.call, asked, SENDER, PROTOCOL)
        facts = {"status": values.yes if step.positive else values.no}
        if not step.positive:
            facts |= {"code": values.code, "reason": values.reason}
        else:
            facts |= {"price": sent.get("price", values.price)}
            facts |= {"token": token} if step.call is Call.PING else {"phone_number": values.number}
            facts |= {"duration": values.duration} if step.call in (Call.PING, Call.ONE_STEP) else {}
        facts |= {name: sent[name] for name in echo if name in sent}
        body = write(step.call, {name: value for name, value in facts.items() if value}).encode()
        blank = Sample(step.call, step.positive, sent, body, None, 200, Unreadable(""))
        samples.append(replace(blank, answer=read(blank, mapping, PROTOCOL)))
    return samples


def proposed(samples: list[Sample], mapping: AnswerMapping = MAPPING) -> Proposal:
    found = propose(samples, mapping, MAPPING, PROTOCOL)
    assert found is not None
    return found


def certainties(proposal: Proposal) -> dict[str, Certainty]:
    return {guess.fact: guess.certainty for guess in proposal.guesses}


def flat(_call: Call, facts: Facts, names: Mapping[str, str] | None = None) -> str:
    return json.dumps({(names or {}).get(name, f"q{name[0]}{len(name)}"): value for name, value in facts.items()})


# The sandbox's two buyers that nobody can read


def _sandbox(layout: Layout) -> Write:
    def write(_call: Call, facts: Facts) -> str:
        code = facts.get("code")
        known = {name: facts.get(name) for name in ("price", "token", "phone_number", "reason")}
        duration = facts.get("duration")
        told = Told(**known, duration=int(duration) if duration else None, code=int(code) if code else None)
        return render(layout, told).body.decode()

    return write


@pytest.mark.parametrize("layout", [Layout.OPAQUE_XML, Layout.FOREIGN_JSON])
def test_the_sandbox_s_strangers_are_read_by_the_mapping_proposed(layout: Layout) -> None:
    samples = run(_sandbox(layout))
    assert all(sample.unread for sample in samples)
    proposal = proposed(samples)
    assert proposal.unread == ()
    facts = {"status", "price", "token", "duration", "phone_number", "code", "reason"}
    assert {guess.fact for guess in proposal.guesses} == facts
    assert min(certainties(proposal).values()) >= Certainty.LIKELY


@pytest.mark.parametrize("layout", [each for each in Layout if each not in (Layout.OPAQUE_XML, Layout.FOREIGN_JSON)])
def test_where_all_is_read_nothing_is_proposed(layout: Layout) -> None:
    assert propose(run(_sandbox(layout)), MAPPING, MAPPING, PROTOCOL) is None


# What each value gives away


@pytest.mark.parametrize(
    ("said", "fact", "certainty"),
    [
        (Values(), "token", Certainty.CERTAIN),
        (Values(tokens=("abcdef", "ghijkl")), "token", Certainty.LIKELY),
        (Values(tokens=("a1b2c3d4e5f6g7", "a1b2c3d4e5f6g7")), "token", Certainty.LIKELY),
        (Values(tokens=("a1b2c3", "a1b2c3")), "token", Certainty.LIKELY),
        (Values(tokens=("abcdef", "abcdef")), "token", None),
        (Values(tokens=("a1b", "b2c")), "token", None),
        (Values(), "phone_number", Certainty.CERTAIN),
        (Values(number="+44 20 7946 0958"), "phone_number", Certainty.LIKELY),
        (Values(number="1 (877) 268-1223"), "phone_number", None),
        (Values(number="2026-11-26"), "phone_number", None),
        (Values(), "code", Certainty.CERTAIN),
        (Values(code="7777"), "code", Certainty.LIKELY),
        (Values(code="77"), "code", None),
        (Values(), "status", Certainty.LIKELY),
        (Values(yes="ok", no="error"), "status", Certainty.CERTAIN),
        (Values(yes="A", no="a"), "status", None),
        (Values(yes="7", no="8"), "status", None),
        (Values(duration="90 sec"), "duration", Certainty.LIKELY),
        (Values(duration="9000"), "duration", None),
        (Values(), "reason", Certainty.CERTAIN),
        (Values(reason="We pass"), "reason", Certainty.LIKELY),
        (Values(reason="Pass"), "reason", Certainty.LIKELY),
        (Values(reason="test_mode"), "reason", None),
        (Values(reason="..."), "reason", None),
    ],
)
def test_how_certain_a_value_makes_a_guess(said: Values, fact: str, certainty: Certainty | None) -> None:
    """Nothing is guessed of a value that is what was sent, or that may be anything."""
    assert certainties(proposed(run(flat, said))).get(fact) is certainty


def test_what_is_said_back_is_known_for_sure() -> None:
    """The customid and the token that were sent, under whatever name; the caller's own number is never the sale's."""
    found = proposed(run(flat, echo=("customid", "token", "telephone")))
    assert found.unread == ()
    assert (certainties(found)["customid"], certainties(found)["token"]) == (Certainty.CERTAIN, Certainty.CERTAIN)
    assert [guess.name for guess in found.guesses if guess.fact == "phone_number"] == ["qp12"]


def test_the_sub_source_said_back_is_no_status() -> None:
    """It is one word in acceptances and another in refusals, in the test alone: with live leads it says nothing."""
    found = proposed(run(flat, echo=("subid",)))
    assert [guess.name for guess in found.guesses if guess.fact == "status"] == ["qs6"]
    assert (found.mapping.accepted, found.mapping.rejected) == (("A",), ("R",))


def test_of_two_that_look_alike_neither_is_sure() -> None:
    """Two whole numbers that may be the duration: one is proposed, as unsure."""

    def write(call: Call, facts: Facts) -> str:
        return flat(call, facts | ({"other": "75"} if "duration" in facts else {}))

    (guess,) = [guess for guess in proposed(run(write)).guesses if guess.fact == "duration"]
    assert guess.certainty is Certainty.UNSURE
    assert guess.why == "a whole number that only acceptances have; 2 places look so"


def test_what_one_answer_shows_for_certain_decides_in_the_others() -> None:
    """A direct post's answer tells the price that was sent: so the other amount in all answers is not the price."""

    def write(call: Call, facts: Facts) -> str:
        return flat(call, ({"other": "2.25"} if "price" in facts else {}) | facts)

    found = proposed(run(write))
    assert [(guess.name, guess.certainty) for guess in found.guesses if guess.fact == "price"] == [
        ("qp5", Certainty.CERTAIN)
    ]
    assert found.unread == ()


def test_a_number_that_was_sent_is_no_price() -> None:
    """The category, said back in acceptances alone."""

    def write(call: Call, facts: Facts) -> str:
        return flat(call, ({"category": "16001"} if "price" in facts else {}) | facts)

    assert {guess.name for guess in proposed(run(write)).guesses if guess.fact == "price"} == {"qp5"}


def test_an_answer_that_says_too_little_is_left_unread_and_counted() -> None:
    """Posts without a number, and pings without a token: no mapping reads them."""

    def write(call: Call, facts: Facts) -> str:
        return flat(call, {name: text for name, text in facts.items() if name not in ("phone_number", "token")})

    assert {sample.positive for sample in proposed(run(write)).unread} == {True}


def test_a_name_that_says_so_decides_between_two() -> None:
    def write(call: Call, facts: Facts) -> str:
        other = {"other": "75"} if "duration" in facts else {}
        return flat(call, facts | other, {"duration": "min_call_duration_in_s"})

    (guess,) = [guess for guess in proposed(run(write)).guesses if guess.fact == "duration"]
    assert (guess.name, guess.certainty) == ("mincalldurationins", Certainty.LIKELY)


def test_a_place_that_cannot_be_written_is_none() -> None:
    """A "/" in a name would be a path."""
    assert propose(run(lambda _, facts: json.dumps({"a/b": facts["status"]})), MAPPING, MAPPING, PROTOCOL) is None
    nested = proposed(run(lambda _, facts: json.dumps({"a/b": {"zz": facts["status"]}})))
    assert [guess.name for guess in nested.guesses] == ["zz"]


def test_what_is_read_already_stays() -> None:
    """A mapping that reads some answers keeps its names; the new ones come first."""

    def write(call: Call, facts: Facts) -> str:
        known = {"status": "status", "token": "token", "price": "price", "duration": "duration"}
        return flat(call, facts, known if call is Call.PING else None)

    said = Values(yes="accepted", no="rejected")
    samples = run(write, said)
    assert {sample.call for sample in samples if not sample.unread} == {Call.PING}
    found = proposed(samples)
    assert found.unread == ()
    assert found.mapping.price == ("qp5", *MAPPING.price)
    assert tomllib.loads(as_toml(found, ON))["mapping"]["price"] == list(found.mapping.price)


def test_a_mapping_in_force_is_kept_whole() -> None:
    """Also where it has emptied a list of the shipped one."""
    in_force = replace(MAPPING, echoes=())
    found = proposed(run(flat, mapping=in_force), in_force)
    assert tomllib.loads(as_toml(found, ON))["mapping"]["echoes"] == []


# Any names, in any shape

WORDS = st.text("qxzjkv", min_size=2, max_size=8)  # of these letters no name is known
FACTS = ("status", "price", "token", "duration", "phone_number", "code", "reason")


@st.composite
def layouts(draw: st.DrawFn) -> Write:
    """A way to write answers: names that say nothing, in one of many shapes, each call perhaps under its own root."""
    words = draw(st.lists(WORDS, min_size=14, max_size=14, unique=True))
    names = dict(zip(FACTS, words, strict=False))
    groups = dict(zip(FACTS, draw(st.lists(st.sampled_from(words[7:11]), min_size=7, max_size=7)), strict=True))
    roots = dict.fromkeys(Call, words[11])
    if draw(st.booleans()):
        roots = {call: f"{words[11]}{call.name.lower()[0]}{index}" for index, call in enumerate(Call)}
    shape = draw(
        st.sampled_from(["flat", "deep", "numbers", "elements", "attributes", "pairs", "items", "list", "lines"])
    )
    pair = words[12:14]
    return lambda call, facts: _written(shape, roots[call], names, groups, pair, facts)


def _written(
    shape: str, root: str, names: Facts, groups: Facts, pair: list[str], facts: Facts
) -> str:  # one line a shape
    said = {names[fact]: value for fact, value in facts.items()}
    tree: dict[str, dict[str, Any]] = {}
    for fact, value in facts.items():
        number = shape == "numbers" and fact in ("price", "duration", "code")
        tree.setdefault(groups[fact], {})[names[fact]] = json.loads(value) if number else value
    name, value = pair
    match shape:
        case "flat":
            return json.dumps(said)
        case "deep" | "numbers":
            return json.dumps({root: tree})
        case "elements":
            inner = "".join(f"<{it}>{text}</{it}>" for it, text in said.items())
        case "attributes":
            return f"<{root}{''.join(f' {it}={quoteattr(text)}' for it, text in said.items())}/>"
        case "pairs":
            inner = "".join(f"<f {name}={quoteattr(it)} {value}={quoteattr(text)}/>" for it, text in said.items())
        case "items":
            inner = "".join(f"<f {name}={quoteattr(it)}>{text}</f>" for it, text in said.items())
        case "list":
            return json.dumps({root: [{name: it, value: text} for it, text in said.items()]})
        case _:
            return "".join(f"{it}={text}\n" for it, text in said.items())
    return f"<{root}>{inner}</{root}>"


values = st.builds(
    Values,
    yes=st.text("qxz", min_size=1, max_size=6),
    no=st.text("jkv", min_size=1, max_size=6),
    price=st.decimals("0.01", "999", places=2).map(str),
    duration=st.integers(1, 3600).map(str),
    number=st.from_regex(r"1?[2-9][0-9]{2}[2-9][0-9]{6}", fullmatch=True).filter(lambda it: "8772681223" not in it),
    code=st.sampled_from([str(code) for code in PROTOCOL.codes]),
    reason=st.sampled_from(["", "qx jk", *(code.meaning for code in PROTOCOL.codes.values())]),
)


@given(layouts(), values)
def test_whatever_the_names_and_the_shape_the_values_give_the_facts_away(write: Write, said: Values) -> None:
    """The mapping proposed reads every answer of the run as what was asked for, to the value."""
    proposal = proposed(run(write, said))
    assert proposal.unread == ()
    for sample, answer in proposal.readings:
        match answer:
            case Bid(price, token, duration_s):
                assert (price, token, str(duration_s)) == (Money.parse(said.price), token, said.duration)
                assert token in TOKENS
            case Sale(number, price):
                assert number == said.number
                assert price == Money.parse(sample.sent.get("price", said.price))
            case Refusal(code):
                assert str(code) == said.code
            case _:
                raise AssertionError(answer)


@given(layouts(), values)
def test_what_is_written_down_is_what_was_proposed(write: Write, said: Values) -> None:
    """The file, used as PINGPOST_MAPPING, is the mapping that was tried; and it says that it is a proposal."""
    proposal = proposed(run(write, said))
    text = as_toml(proposal, ON)
    assert text.startswith("# A PROPOSAL, made by `pingpost certify` on 2026-11-26")
    assert mapping_with(tomllib.loads(text)["mapping"]) == proposal.mapping
    for guess in proposal.guesses:
        assert f"{guess.certainty.name.lower()}: {guess.why}" in text


@given(st.lists(st.one_of(st.binary(max_size=80), st.text(max_size=80).map(str.encode)), min_size=9, max_size=9))
def test_no_body_is_too_strange(bodies: list[bytes]) -> None:
    """Nothing raises, and what comes of it can be written down and read again."""
    samples = [replace(sample, body=body) for sample, body in zip(run(flat), bodies, strict=True)]
    samples = [replace(sample, answer=read(sample, MAPPING, PROTOCOL)) for sample in samples]
    proposal = propose(samples, MAPPING, MAPPING, PROTOCOL)
    if proposal is not None:
        assert mapping_with(tomllib.loads(as_toml(proposal, ON))["mapping"]) == proposal.mapping

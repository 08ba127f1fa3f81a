"""Whatever a producer may send: the front door's reading as a whole, and the door itself on real brokers."""

from __future__ import annotations

import base64
import itertools
import json
import unicodedata
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.buyers.registry import load_protocol
from tasks.core.validation import LEAD_ID
from tests.frontdoor.house import DEFAULTS, FrontDoor, lead, route
from tests.frontdoor.test_refusals import refused
from tests.frontdoor.wire import RedisWire, Wire
from workers.intake.envelope import unwrap
from workers.intake.message import Message, Unfit
from workers.intake.reading import Arrival, Broken, Reader
from workers.topology import OURS

# A caller's own words, which may stand in a lead and never in what is said of it.
WHO = "Ana Zoltanova"
PROTOCOL = load_protocol()
READER = Reader(PROTOCOL, DEFAULTS, route, test=False, keeps_keys=True)
FIELDS = [
    *lead(""),
    *(field.name for field in PROTOCOL.fields),
    "deadline_s",
    "flow",
    "price",
    "created_at",
]

words = st.text(max_size=12) | st.sampled_from(
    [WHO, f"{WHO}\r\nX-Forged: 1", f'{WHO}"}}\n{{"event": "post.sold"}}', "\x00"]
)
numbers = st.integers() | st.floats() | st.sampled_from([10**400, -(10**19), 2**63, 1e308])
scalars = st.none() | st.booleans() | numbers | words
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=5
)
odd = st.dictionaries(st.sampled_from(FIELDS) | words, values, max_size=4)
properties = st.dictionaries(
    st.sampled_from(["message_id", "reply_to", "correlation_id", "timestamp", "body_encoding"]), values, max_size=5
)
_numbers = itertools.count()


def _json(content: Any) -> bytes:
    return json.dumps(content).encode()


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A lead with a few things wrong, and now and then a hole, a doubling or noise in its text."""
    whole = _json(lead(draw(st.integers(0, 10**9).map("F-{}".format) | words)) | {"firstname": WHO} | draw(odd))
    at, long = draw(st.integers(0, len(whole))), draw(st.integers(0, 6))
    return draw(
        st.sampled_from([whole, whole[:at], whole[:at] + whole[at + long :], whole + whole[at:]])
        | st.binary(max_size=8).map(lambda noise: whole[:at] + noise + whole[at:])
        | st.binary(max_size=40)
    )


@st.composite
def elements(draw: st.DrawFn) -> bytes:
    """What may lie in a list of Redis's: a body, or one in an envelope that is more or less kombu's."""
    body = draw(bodies())
    inside = draw(st.just(base64.b64encode(body).decode()) | st.just(body.decode("latin-1")) | values)
    envelope = {"body": inside, "headers": {}, "content-type": draw(scalars), "properties": draw(properties | values)}
    return draw(st.sampled_from([body, _json(envelope)]))


def messages() -> st.SearchStrategy[Message]:
    """Messages of either broker; properties of AMQP are text and a number, their texts anything."""
    texts = st.none() | words | st.sampled_from([*OURS, "_kombu.x", "x" * 256, "ü" * 200])
    amqp = st.builds(
        Message,
        body=bodies(),
        message_id=texts,
        reply_to=texts,
        correlation_id=texts,
        timestamp=st.none() | st.integers(-(2**63), 2**64),
        redelivered=st.booleans(),
    )
    return amqp | elements().map(lambda raw: unwrap(raw, redelivered=False))


@settings(max_examples=600)
@given(messages())
def test_every_message_is_a_lead_a_refusal_or_a_dead_letter_and_what_is_said_of_it_holds_no_caller(message: Message):
    """Nothing breaks the reading; a reason is one line without a caller's words; no reply goes to our own queues."""
    read = READER.read(message)
    if isinstance(read, Arrival):
        assert LEAD_ID.fullmatch(read.lead.lead_id)
    else:
        assert isinstance(read, Broken | Unfit)
        assert read.reason
        assert WHO not in read.reason
        assert not any(unicodedata.category(character) in ("Cc", "Cs") for character in read.reason)
    reply = None if isinstance(read, Unfit) else read.reply
    assert reply is None or reply.address not in OURS


def test_whatever_comes_the_door_stays_open_and_each_message_is_somewhere(wire: Wire, door: FrontDoor):
    """Fuzz through the real broker: all that was sent is a lead, a refusal or a dead letter, and no alarm."""
    sent: list[bytes] = []

    @settings(max_examples=8, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(elements() if isinstance(wire, RedisWire) else bodies(), min_size=10, max_size=30))
    def batch(drawn: list[bytes]) -> None:
        for raw in drawn:
            wire.send(raw)
        sent.extend(drawn)
        last = f"L-{next(_numbers)}"
        wire.send(lead(last))
        door.wait_for(lambda: last in (started for started, _ in door.started), f"{last}, sent behind {drawn}")

    batch()
    door.close()
    assert wire.depth("leads") == 0
    dead = Counter(letter.body for letter in wire.read("leads.dead", wire.depth("leads.dead")))
    known = {lead_id for lead_id, _ in door.started} | {lead_id for lead_id, _ in refused(door.ledger)}
    for raw in sent:
        read = READER.read(unwrap(raw, redelivered=False))
        if isinstance(read, Unfit):
            body = raw if "envelope" in read.reason else unwrap(raw, redelivered=False).body
            assert dead[body] > 0, raw
            dead[body] -= 1
        elif isinstance(read, Broken):
            assert (read.lead_id if LEAD_ID.fullmatch(read.lead_id) else "(ill-formed)") in known, raw
        else:
            assert read.lead.lead_id in known, raw
    assert dead.total() == 0, "dead letters that nobody sent"
    assert {"broker.away", "alarm"}.isdisjoint(door.events)
    assert WHO not in str(door.lines)

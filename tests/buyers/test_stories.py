"""Every exemplary story, through the pure code and over a real socket."""

from __future__ import annotations

import pytest

from tasks.buyers.answers import read_facts
from tasks.buyers.leaves import read_leaves
from tasks.buyers.letsmakealead.wire import Sender, interpret, read_retry_after, request_fields
from tasks.core.protocol import Call, Protocol
from tasks.core.reasons import Refusal
from tests.buyers.conftest import Client, Serve
from tests.buyers.scripted import answering, http
from tests.buyers.stories import KEY, PARTNER_ID, Story, load

STORIES = load()
each_story = pytest.mark.parametrize("story", STORIES, ids=[story.file for story in STORIES])


@each_story
def test_a_story_comes_out_of_the_pure_code_as_told(story: Story, protocol: Protocol) -> None:
    sender = Sender(PARTNER_ID, KEY, story.resptype, story.settings.get("send_price", "none"))
    fields = request_fields(story.call, story.offer, sender, protocol)
    assert fields == story.expected_request["fields"]
    assert list(fields) == list(story.expected_request["fields"]), "not in the table's order"
    answer = interpret(
        story.call,
        read_facts(story.body, story.headers.get("Content-Type"), story.mapping),
        story.status,
        protocol,
        retry_after_s=read_retry_after(story.headers.get("Retry-After"), _no_clock),
        telephone=story.offer.fields.get("telephone", ""),
        sent=fields,
        echoes=story.mapping.echoes,
    )
    assert answer == story.expected


@each_story
def test_a_story_comes_over_a_socket_as_told(story: Story, serve: Serve, client: Client) -> None:
    play, received = answering(http(story.body, story.status, **story.headers))
    buyer = client(
        serve(play).url, mapping=story.mapping, method=story.method, resptype=story.resptype, **story.settings
    )
    exchange = buyer.ask(story.call, story.offer, 10)
    assert exchange.answer == story.expected
    assert exchange.http_status == story.status
    [request] = received
    assert request.method == story.expected_request["method"]
    assert request.headers.get("content-type") == story.expected_request.get("content_type")
    assert request.fields == story.expected_request["fields"]
    assert exchange.request.keys() == request.fields.keys()


def test_every_code_is_told_on_a_ping_and_on_a_post(protocol: Protocol) -> None:
    told = {(story.call, story.expected.code) for story in STORIES if isinstance(story.expected, Refusal)}
    assert told >= {(call, code) for call in (Call.PING, Call.POST) for code in protocol.codes}
    assert {(Call.PING, None), (Call.PING, 7777), (Call.POST, 7777)} <= told


def test_every_call_method_and_format_is_told(protocol: Protocol) -> None:
    formats = next(rule.allowed for rule in protocol.fields if rule.name == "resptype")
    assert {story.call for story in STORIES} == set(Call)
    assert {(story.method, call) for story in STORIES if (call := story.call) in (Call.PING, Call.POST)} >= {
        (method, call) for method in ("form", "json", "get") for call in (Call.PING, Call.POST)
    }
    assert {(story.resptype, story.call.sells) for story in STORIES} == {
        (resptype, sells) for resptype in formats for sells in (False, True)
    }


def test_every_file_tells_a_story_of_its_own() -> None:
    assert len({story.name for story in STORIES}) == len(STORIES) > 40


@each_story
def test_no_ping_carries_what_the_table_bars_from_it(story: Story, protocol: Protocol) -> None:
    barred = {rule.name for rule in protocol.fields if rule.presence[Call.PING] == "no" and rule.name != "price"}
    sent = story.expected_request["fields"].keys()
    assert story.call is not Call.PING or not barred & sent


def test_a_leaf_s_text_is_never_shown_as_json_or_python_would() -> None:
    """Digits are kept as the buyer wrote them."""
    story = next(story for story in STORIES if story.file == "ping_accepted_json_number_price")
    texts = {leaf.path[-1]: leaf.text for leaf in read_leaves(story.body, None, story.mapping)}
    assert texts["bidprice"] == "0.123456"


def _no_clock() -> object:
    raise AssertionError("seconds need no clock")

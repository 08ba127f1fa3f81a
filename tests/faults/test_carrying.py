"""What a thread carries from a ping to its post: never lost while the process lives, never more than the next link."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from celery.worker import state as worker
from sqlalchemy.exc import OperationalError

from tasks.carrying import Hand, Link, hand
from tasks.core.protocol import Call
from tasks.core.states import State
from tasks.gates import Ask, Closed, Wait
from tasks.ledger.schema import attempts
from tasks.results import GoOn, Handover, Later, Stop
from tasks.services import Services
from tasks.steps import settle, take
from tests.faults.stand_ins import BID, SALE, App, Buyer, Gates, arrive, state, step


@pytest.fixture(autouse=True)
def empty_handed() -> Iterator[None]:
    yield
    hand.open(None)


def carried(services: Services, lead_id: str = "s-1", *, deadline_s: float = 20) -> tuple[Services, Handover]:
    """A lead whose bid a thread holds in its hand, and a buyer who will buy."""
    sure = replace(services, buyer=Buyer([BID, SALE]))
    arrive(sure, lead_id, deadline_s=deadline_s)
    following = take(sure, Call.PING, lead_id, carries=True)
    assert isinstance(following, GoOn)
    assert following.over is not None
    assert state(sure, lead_id) is State.PINGING, "the bid is written with the claim of its post"
    return sure, following.over


def calls(services: Services) -> list[str]:
    """The calls that the ledger knows of."""
    return services.ledger.read(lambda c: [row.call for row in c.execute(attempts.select().order_by(attempts.c.id))])


def test_a_bid_is_written_with_the_claim_of_its_post(services: Services):
    sure, over = carried(services)
    assert isinstance(take(sure, Call.POST, "s-1", over=over), Stop)
    assert state(sure, "s-1") is State.SOLD
    assert calls(sure) == ["ping", "post"]


@pytest.mark.parametrize("answer", [Wait(1.0, "all wait", 1000), Closed("category:16001", 4000, "Daily Cap", None)])
def test_a_bid_is_written_where_its_post_may_not_begin(services: Services, answer: Wait | Closed):
    sure, over = carried(services)

    class Shut(Gates):
        def admit(self, _ask: Ask) -> Any:
            return answer

    following = take(replace(sure, gates=Shut()), Call.POST, "s-1", over=over)
    assert calls(sure) == ["ping"]
    if isinstance(answer, Wait):
        assert isinstance(following, Later)
        assert state(sure, "s-1") is State.BID
    else:
        assert state(sure, "s-1") is State.CAPPED


def test_a_bid_is_written_where_the_deadline_has_passed_meanwhile(services: Services):
    sure, over = carried(services)
    late = over.row._replace(monotonic=lambda: over.row.read_at + 60)
    take(sure, Call.POST, "s-1", over=Handover(late, over.unsettled))
    assert state(sure, "s-1") is State.EXPIRED
    assert calls(sure) == ["ping"]


def test_a_bid_is_written_though_the_claim_of_its_post_fails(services: Services, monkeypatch: pytest.MonkeyPatch):
    """The ledger goes away in between: the bid is tried until it is there again, the post comes again."""
    sure, over = carried(services)

    def away(*_: Any, **__: Any) -> None:
        raise OperationalError("claim", {}, Exception("gone"))

    with monkeypatch.context() as gone:
        gone.setattr(type(sure.ledger), "claim", away)
        assert isinstance(take(sure, Call.POST, "s-1", over=over), Later)
    assert state(sure, "s-1") is State.BID
    assert isinstance(take(sure, Call.POST, "s-1"), Stop)
    assert state(sure, "s-1") is State.SOLD


def test_a_bid_is_written_once_however_often_it_is_asked_for(services: Services):
    sure, over = carried(services)
    settle(sure, over)
    settle(sure, over)
    assert state(sure, "s-1") is State.BID
    assert calls(sure) == ["ping"]


def test_a_bid_that_died_with_its_process_costs_one_more_ping(services: Services):
    """As any crash between an answer and its commit: the broker repeats the ping's message."""
    carried(services)
    again = replace(services, buyer=Buyer([BID, SALE]))
    assert isinstance(take(again, Call.PING, "s-1", redelivered=True), GoOn)
    assert isinstance(take(again, Call.POST, "s-1"), Stop)
    assert state(again, "s-1") is State.SOLD


def test_what_was_overtaken_meanwhile_posts_nothing(services: Services):
    """Another copy of the ping has claimed the lead since: the bid in hand is an old one."""
    sure, over = carried(services)
    take(replace(services, buyer=Buyer([BID])), Call.PING, "s-1", redelivered=True)
    assert isinstance(take(sure, Call.POST, "s-1", over=over), Stop)
    assert state(sure, "s-1") is State.BID
    assert calls(sure).count("post") == 0


def test_a_link_that_is_published_after_all_has_its_bid_written_first(services: Services):
    """A worker that is asked to end in that very moment leaves the post to the others."""
    sure, over = carried(services)
    app = App(sure)
    app.publish = lambda _link: state(sure, "s-1") is State.BID  # type: ignore[attr-defined]
    hand.open("ping")
    hand.over = over
    post = type("Post", (type(step(app)),), {"app": app, "name": "post", "AsyncResult": str})()
    worker.should_stop = 0
    try:
        assert post.apply_async(["s-1"], task_id="t-1") == "t-1"
    finally:
        worker.should_stop = None
    assert hand.let_go() is None


class Task:
    """What a hand asks of a task."""

    def __init__(self, name: str, rate_limit: str | None = None) -> None:
        self.name, self.rate_limit = name, rate_limit


def test_a_thread_takes_the_next_link_and_nothing_else(monkeypatch: pytest.MonkeyPatch):
    mine = Hand()

    def takes(name: str, rate_limit: str | None = None, **options: Any) -> bool:
        return mine.takes(Link.of(Task(name, rate_limit), ["s-1"], None, options))

    assert not takes("post"), "nothing runs here"
    mine.open("ping")
    assert not takes("ping"), "a ping that comes again goes by the broker"
    assert not takes("post", countdown=1), "what must wait does not keep a thread"
    assert not takes("post", "1/s"), "an operator has slowed posts down"
    with monkeypatch.context() as leaving:
        leaving.setattr(worker, "should_stop", 0)
        assert not takes("post"), "who leaves begins nothing"
    assert mine.let_go() is None
    mine.open("ping")
    assert takes("post", task_id="t-1")
    link = mine.let_go()
    assert link is not None
    assert (link.args, link.options["task_id"]) == (("s-1",), "t-1")
    assert not takes("post"), "one link a task"


POST_LINK = {"task": "post", "args": ["s-1"], "kwargs": {}, "options": {"task_id": "t-1"}, "immutable": True}


@pytest.mark.parametrize(
    "chain",
    [
        None,
        [],
        "post",
        [POST_LINK | {"immutable": False}],
        [POST_LINK | {"task": "other"}],
        [POST_LINK | {"options": {}}],
        [POST_LINK | {"task": None}],
        [POST_LINK | {"args": "s-1"}],
        [POST_LINK | {"kwargs": None}],
        [{}],
        [None],
    ],
)
def test_a_link_that_is_not_as_ours_is_left_to_celery(chain: Any):
    assert Link.after(SimpleNamespace(chain=chain, id="p-1", root_id=None), {"post": Task("post")}) is None


def test_the_next_link_of_a_chain_is_the_last_of_its_list():
    link = Link.after(SimpleNamespace(chain=["later", POST_LINK], id="p-1", root_id=None), {"post": Task("post")})
    assert link is not None
    assert (link.task.name, link.args, link.kwargs) == ("post", ("s-1",), {})
    assert link.options == {"task_id": "t-1", "chain": ["later"], "parent_id": "p-1", "root_id": "p-1"}


def test_each_thread_has_a_hand_of_its_own():
    mine, theirs = Hand(), []
    mine.open("ping")
    thread = threading.Thread(target=lambda: theirs.append(mine.by))
    thread.start()
    thread.join()
    assert theirs == [None]

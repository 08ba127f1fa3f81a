"""The line to the state store: many questions in one piece, and a store that has forgotten its scripts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as StoreAway
from redis.exceptions import ResponseError
from redis.retry import Retry

from tasks.gates.line import Line, Question, Script
from tests.ledger.stories import at_once, without_faults

COUNT = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
SUM = Script(
    "local sum = 0 for _, one in ipairs(ARGV) do sum = sum + one end return redis.call('INCRBY', KEYS[1], sum)"
)
BROKEN = Script("return redis.call('NOSUCHCOMMAND')")
KEY = ("line-count",)


@pytest.fixture
def store(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url, decode_responses=True, retry=Retry(NoBackoff(), 1)) as store:
        store.delete(*KEY)
        yield store
        store.delete(*KEY)


def ask(line: Line, number: int = 1) -> int:
    answer: int = line.ask(Question(COUNT, KEY, (number,)))
    return answer


def test_every_thread_gets_the_answer_to_its_own_question(store: Redis):
    line = Line(store)
    answers = without_faults(at_once([lambda: ask(line) for _ in range(50)]))
    assert sorted(answers) == list(range(1, 51))


def test_a_store_that_was_emptied_is_taught_the_scripts_again_and_runs_each_question_once(store: Redis):
    line = Line(store)
    assert ask(line) == 1
    store.script_flush()
    assert ask(line) == 2


def test_a_script_that_breaks_is_its_own_question_s_error(store: Redis):
    line = Line(store)
    line.tell(Question(BROKEN, (), ()))
    assert ask(line) == 1
    with pytest.raises(ResponseError):
        line.ask(Question(BROKEN, (), ()))


def test_what_is_told_goes_before_the_next_question_and_hands_its_answer_on(store: Redis):
    line, heard = Line(store), []
    line.tell(Question(COUNT, KEY, (10,), then=heard.append))
    assert ask(line) == 11
    assert heard == [10]


def test_what_joins_is_one_question_before_the_next(store: Redis):
    line, heard = Line(store), []
    line.ask(Question(SUM, KEY, (0,)))  # a script that is not known is taught, and asked after all others
    for number in (10, 20, 30):
        line.tell(Question(SUM, KEY, (1,), (number,), heard.append, joins=True))
    assert ask(line) == 62
    assert heard == [61]


def test_a_connection_that_the_store_has_closed_is_opened_anew_and_each_question_asked_once(store: Redis):
    line = Line(store)
    assert ask(line) == 1
    kept = line._connection()
    kept.send_command("CLIENT", "ID")
    assert store.client_kill_filter(_id=str(kept.read_response())) == 1
    assert ask(line) == 2


def test_an_answer_that_nobody_waited_for_is_not_the_next_one_s(store: Redis, monkeypatch):
    line = Line(store)
    assert ask(line) == 1
    with monkeypatch.context() as interrupted:
        interrupted.setattr(line._connection(), "read_response", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            ask(line)
    assert ask(line) == 3


def test_a_process_that_was_forked_has_a_connection_of_its_own(store: Redis, monkeypatch):
    line = Line(store)
    assert ask(line) == 1
    parents = line._connection()
    monkeypatch.setattr("tasks.gates.line.getpid", lambda: -1)
    assert ask(line) == 2
    assert line._connection() is not parents


def test_a_store_that_is_away_is_everybody_s_error_and_no_reason_to_stay_so(store: Redis, monkeypatch):
    line = Line(store)
    with monkeypatch.context() as away:
        away.setattr(store.connection_pool, "get_connection", lambda *_: (_ for _ in ()).throw(StoreAway("gone")))
        line.tell(Question(COUNT, KEY, (1,)))
        line.flush()
        with pytest.raises(StoreAway):
            ask(line)
    assert ask(line) == 1

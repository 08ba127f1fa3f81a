"""The line to the state store: what a process's threads ask at the same time goes out, and comes back, in one piece."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from os import getpid
from typing import Any, Final, NamedTuple
from weakref import finalize

from hiredis import pack_command
from redis import Redis
from redis.exceptions import NoScriptError, RedisError, ResponseError

from tasks.together import Together, Turn

LARGEST_GROUP: Final = 64
SOON_S: Final = 0.02


@dataclass(frozen=True)
class Script:
    """A Lua script, by its text."""

    text: str

    @cached_property
    def sha(self) -> str:
        """The name by which the server knows it."""
        return hashlib.sha1(self.text.encode()).hexdigest()  # noqa: S324 - the server's choice


class Question(NamedTuple):
    """A script's call. `then` is handed the answer to one for which nobody waits.

    One that `joins` is asked with others of its script for which nobody waits, and what is its alone is `own`, its last
    arguments: the script takes as many of these as come, and answers all of them at once.
    """

    script: Script
    keys: Sequence[str]
    arguments: Sequence[Any]
    own: Sequence[Any] = ()
    then: Callable[[Any], None] | None = None
    joins: bool = False

    @property
    def command(self) -> tuple[Any, ...]:
        """What the server is sent."""
        return "EVALSHA", self.script.sha, len(self.keys), *self.keys, *self.arguments, *self.own


_Turn = Turn[Question, Any]


class Line:
    """Asks the store. Safe under threads; an error is that of all who asked together."""

    def __init__(self, store: Redis) -> None:
        self._store = store
        self._kept: tuple[int, Any] | None = None
        self._together: Together[Question, Any] = Together(self._exchange, LARGEST_GROUP, soon_s=SOON_S)

    def ask(self, question: Question) -> Any:
        """Ask, and give the answer.

        Raises:
            RedisError: the store is away; whether it has heard the question is not known.
        """
        return self._together.run(question)

    def tell(self, question: Question) -> None:
        """Have something asked before the next questions, or in a moment. Never raises."""
        self._together.soon(question)

    def flush(self) -> None:
        """Ask all for which nobody waits."""
        self._together.flush()

    def _exchange(self, turns: Sequence[_Turn]) -> None:
        unknown = self._pipe(_joined(turns))
        if unknown:
            for script in {turn.item.script for turn in unknown}:
                self._store.script_load(script.text)
            if self._pipe(unknown):
                raise NoScriptError("the store forgets scripts at once")

    def _pipe(self, turns: Sequence[_Turn]) -> list[_Turn]:
        """Ask all of them; gives those whose script the server does not know, and which it has therefore not run."""
        connection = self._connection()
        # redis-py looks at each argument of each question first: ours are all texts and numbers.
        asked = [b"".join([pack_command(turn.item.command) for turn in turns])]
        answers = connection.retry.call_with_retry(lambda: _talk(connection, asked, len(turns)), lambda _: None)
        unknown = []
        for turn, answer in zip(turns, answers, strict=True):
            if isinstance(answer, NoScriptError):
                unknown.append(turn)
            elif isinstance(answer, Exception):
                turn.end(error=answer)
            else:
                turn.end(answer)
                if turn.item.then is not None:
                    with suppress(RedisError):
                        turn.item.then(answer)
        return unknown

    def _connection(self) -> Any:
        """Give the connection, which is kept: to borrow it anew, and look whether it still stands, costs two questions.

        One that the store has closed meanwhile is found by the first question, which is then asked over a new one.
        """
        if self._kept is None or self._kept[0] != getpid():  # after a fork, the parent's is not ours
            pool = self._store.connection_pool
            self._kept = getpid(), pool.get_connection()
            finalize(self, pool.release, self._kept[1])
        return self._kept[1]


def _joined(turns: Sequence[_Turn]) -> list[_Turn]:
    """Make one question of those that join, in the place of the first of each script."""
    joined: list[_Turn] = []
    first: dict[Script, _Turn] = {}
    for turn in turns:
        if not turn.item.joins:
            joined.append(turn)
        elif (into := first.get(turn.item.script)) is None:
            first[turn.item.script] = turn
            joined.append(turn)
        else:
            into.item = into.item._replace(own=(*into.item.own, *turn.item.own))
            turn.end()
    return joined


def _talk(connection: Any, asked: Any, count: int) -> list[Any]:
    try:
        connection.send_packed_command(asked)
        return [_answer(connection) for _ in range(count)]
    except BaseException:
        connection.disconnect()  # what is still to come would be taken for the answer to the next question
        raise


def _answer(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as refused:
        return refused

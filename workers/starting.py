"""Starting leads on their way: the chain's first message, many at once.

What Celery publishes for a chain differs from lead to lead by nothing but ids. It is made by Celery once, and filled in
for each lead: building a chain anew costs more than all else that the front door does.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from amqp import Message
from amqp.exceptions import MessageNacked
from kombu.utils.json import dumps

from tasks.absence import Absence
from tasks.away import why_broker_away
from tasks.carrying import ANYBODY, Link, hand
from tasks.core.protocol import Call
from tasks.publishing import Letter, Publishes
from tasks.sell import sale_of

# A lead's id as no producer may write it, so that nothing else in a message is like it.
_SOMEBODY: Final = "lead~"
_JSON: Final = {"content_type": "application/json", "content_encoding": "utf-8", "delivery_mode": 2}


class Starter:
    """Starts leads: called for each, and `flush` returns when the broker has them all. Used by one thread."""

    def __init__(self, publisher: Publishes, broker: Absence) -> None:
        self._publisher = publisher
        self._broker = broker
        self._letters: list[Letter] = []

    def __call__(self, lead_id: str, call: Call) -> None:
        """Have a lead started by the next `flush`."""
        self._letters.append(_form(call).letter(lead_id))

    def publish(self, link: Link) -> None:
        """Publish a task of a chain; returns when the broker has it. Safe under threads.

        Raises:
            BROKER_AWAY: it may have been published.
        """
        made = link.message()
        message = Message(
            dumps(made.body).encode(), application_headers=_told(made.headers), **_JSON, **made.properties
        )
        self._publish([Letter(message, made.delivery_info["exchange"], made.delivery_info["routing_key"])])

    def flush(self) -> None:
        """Start those that wait.

        Raises:
            BROKER_AWAY: some may not have been started.
        """
        letters, self._letters = self._letters, []
        if letters:
            self._publish(letters)

    def _publish(self, letters: Sequence[Letter]) -> None:
        with self._broker.watch(why_broker_away):
            if not all(self._publisher.publish(letters)):
                raise MessageNacked


@dataclass(frozen=True, slots=True)
class _Form:
    """Celery's message for a lead that is nobody. `ids`: those of the tasks in it, the first one's first."""

    body: str
    headers: Mapping[str, Any]
    ids: tuple[str, ...]
    exchange: str
    routing_key: str

    def letter(self, lead_id: str) -> Letter:
        """Fill it in for a lead."""
        own, body = str(uuid.uuid4()), self.body.replace(_SOMEBODY, lead_id)
        for place, known in enumerate(self.ids):
            body = body.replace(known, str(uuid.uuid4()) if place else own)
        headers = {**self.headers, "id": own, "root_id": own, "argsrepr": f"('{lead_id}',)"}
        message = Message(body.encode(), application_headers=headers, correlation_id=own, **_JSON)
        return Letter(message, self.exchange, self.routing_key)


@cache
def _form(call: Call) -> _Form:
    hand.open(ANYBODY)
    sale_of(_SOMEBODY, call).apply_async()
    link = hand.let_go()
    assert link is not None, "a signature publishes one task"  # noqa: S101 - Celery's promise
    made = link.message()
    links = made.body[2]["chain"] or []
    return _Form(
        body=dumps(made.body),
        headers=_told(made.headers),
        ids=(made.headers["id"], *(later["options"]["task_id"] for later in links)),
        exchange=made.delivery_info["exchange"],
        routing_key=made.delivery_info["routing_key"],
    )


def _told(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what says nothing: it is Celery's default, and costs each worker its reading."""
    return {name: value for name, value in headers.items() if value and value != [None, None]}

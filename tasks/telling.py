"""Telling outcomes: to the exchange `outcomes`, and to everyone who asked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

from amqp import Message
from kombu import Connection, Exchange
from kombu.exceptions import OperationalError
from kombu.pools import producers
from redis import Redis
from redis.exceptions import ResponseError

from tasks.absence import Absence
from tasks.away import why_broker_away
from tasks.ledger.rows import Reply, storable
from tasks.publishing import CONFIRM_S, Letter, Publisher

EXCHANGE: Final = "outcomes"
LIST_LIFE_S: Final = 3600
_COMPACT: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
# Publishing is tried again at once, and only shortly: what is not told stays in the ledger, and the sweep tells it.
_RETRY: Final = {"max_retries": 2, "interval_start": 0.05, "interval_step": 0.2, "interval_max": 0.5}


class AddressRefuses(Exception):
    """A reply address takes nothing, and the broker is well: a stranger's mistake. Everybody else has been told."""


class ExchangeRefuses(Exception):
    """A queue that is bound to the exchange takes nothing, being full: tell again. Reply addresses have been told."""


class Teller(Protocol):
    """Somewhere to tell outcomes."""

    def tell(
        self, outcome: Mapping[str, Any], replies: Sequence[Reply], now: datetime, *, replayed: bool = False
    ) -> None:
        """Tell an outcome to the exchange and to each reply address; returns when the broker has it.

        Raises:
            BROKER_AWAY: the broker is away; somebody may have been told.
            AddressRefuses, ExchangeRefuses: all others have been told.
        """
        ...

    def close(self) -> None:
        """Let connections go; who tells later opens new ones."""
        ...


class AmqpTeller:
    """Tells over AMQP: everybody in one go, together with what other threads tell. Safe under threads."""

    def __init__(self, publisher: Publisher, broker: Absence) -> None:
        self._publisher = publisher
        self._broker = broker

    def tell(
        self, outcome: Mapping[str, Any], replies: Sequence[Reply], now: datetime, *, replayed: bool = False
    ) -> None:
        """See `Teller.tell`."""
        ways = {replayed} | {replayed or reply.replayed for reply in replies}
        bodies = {again: _encode(aged(outcome, now, replayed=again)).encode() for again in ways}
        # Whoever waits with a caller on the line is told first.
        letters = [
            _letter(bodies[replayed or reply.replayed], outcome, "", reply.address, reply.correlation_id)
            for reply in replies
            if reply.medium == "queue"  # what came by a list had another broker
        ]
        letters.append(_letter(bodies[replayed], outcome, EXCHANGE, f"outcome.{outcome['status']}"))
        with self._broker.watch(why_broker_away):
            *by_addresses, by_exchange = self._publisher.publish(letters)
        if not by_exchange:
            raise ExchangeRefuses("a queue that is bound to `outcomes` is full")
        if not all(by_addresses):
            raise AddressRefuses("reply_to is a full queue")

    def close(self) -> None:
        """See `Teller.close`."""
        self._publisher.close()


def declare(channel: Any) -> None:
    """Declare the exchange of outcomes: what is published before it is there breaks the channel."""
    Exchange(EXCHANGE, type="topic", durable=True)(channel).declare()


def _letter(
    body: bytes, outcome: Mapping[str, Any], exchange: str, to: str, correlation_id: str | None = None
) -> Letter:
    correlation = {} if correlation_id is None else {"correlation_id": correlation_id}
    letter = Message(
        body,
        content_type="application/json",
        content_encoding="utf-8",
        message_id=outcome["lead_id"],
        delivery_mode=2,
        **correlation,
    )
    return Letter(letter, exchange, to)


class RedisTeller:
    """Tells over kombu, and over plain lists. Safe under threads."""

    def __init__(self, connection: Connection, lists: Redis, broker: Absence) -> None:
        self._producers = producers[connection]
        self._lists = lists
        self._exchange = Exchange(EXCHANGE, type="topic", durable=True)
        self._broker = broker

    def tell(
        self, outcome: Mapping[str, Any], replies: Sequence[Reply], now: datetime, *, replayed: bool = False
    ) -> None:
        """See `Teller.tell`."""
        refuses: AddressRefuses | None = None
        with self._broker.watch(why_broker_away), self._producers.acquire(block=True, timeout=CONFIRM_S) as producer:
            self._publish(producer, aged(outcome, now, replayed=replayed), exchange=self._exchange)
            for reply in replies:
                message = aged(outcome, now, replayed=reply.replayed or replayed)
                try:
                    if reply.medium == "list":
                        self._push(reply.address, message)
                    else:
                        self._publish(producer, message, reply=reply)
                except (ResponseError, OperationalError) as fault:
                    if (why := _why_refused(fault)) is None:
                        raise
                    refuses = AddressRefuses(why)
        if refuses is not None:
            raise refuses

    def close(self) -> None:
        """See `Teller.close`. kombu's pool of producers is the process's."""
        self._lists.close()

    def _publish(
        self, producer: Any, message: Mapping[str, Any], *, exchange: Exchange | None = None, reply: Reply | None = None
    ) -> None:
        producer.publish(
            _encode(message),
            content_type="application/json",
            content_encoding="utf-8",
            exchange=exchange or "",
            routing_key=reply.address if reply else f"outcome.{message['status']}",
            correlation_id=reply.correlation_id if reply else None,
            message_id=message["lead_id"],
            delivery_mode=2,
            declare=[exchange] if exchange else [],
            retry=True,
            retry_policy=_RETRY,
        )
        if reply:
            self._lists.expire(reply.address, LIST_LIFE_S)

    def _push(self, address: str, message: Mapping[str, Any]) -> None:
        # Not in one go: a key of another kind refuses the outcome, and must not be given an end by what follows it.
        self._lists.lpush(address, _encode(message))
        self._lists.expire(address, LIST_LIFE_S)


def _why_refused(fault: Exception) -> str | None:
    """Say why an address takes nothing though the broker is well; None: the broker is away."""
    words = str(fault)  # redis-py puts the command before the server's words, kombu wraps them
    if "WRONGTYPE Operation" in words:
        return "reply_to is no list"
    return "reply_to may not be written" if "NOPERM" in words else None


def aged(outcome: Mapping[str, Any], now: datetime, *, replayed: bool) -> dict[str, Any]:
    """Give an outcome as it is told at `now`: the same but for `late` and `replayed`."""
    told = dict(outcome)
    forward_by = told.get("forward_by")
    if forward_by and now > datetime.fromisoformat(forward_by):
        told["late"] = True
    if replayed:
        told["replayed"] = True
    return told


def _encode(message: Mapping[str, Any]) -> str:
    # A buyer's words may hold half a surrogate pair, which no encoding takes: they must not keep an outcome untold.
    return storable(_COMPACT(message))

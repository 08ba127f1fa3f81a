"""Telling outcomes: to the exchange `outcomes`, and to everyone who asked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

from amqp.exceptions import MessageNacked
from kombu import Connection, Exchange
from kombu.exceptions import OperationalError
from kombu.pools import producers
from redis import Redis
from redis.exceptions import ResponseError

from tasks.absence import Absence
from tasks.away import why_broker_away
from tasks.ledger.rows import Reply, storable

EXCHANGE: Final = "outcomes"
LIST_LIFE_S: Final = 3600
CONFIRM_S: Final = 5
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


class BrokerTeller:
    """Tells over kombu, and over plain lists on Redis. Safe under threads."""

    def __init__(self, connection: Connection, lists: Redis | None, broker: Absence) -> None:
        self._producers = producers[connection]
        self._lists = lists
        self._exchange = Exchange(EXCHANGE, type="topic", durable=True)
        self._broker = broker

    def tell(
        self, outcome: Mapping[str, Any], replies: Sequence[Reply], now: datetime, *, replayed: bool = False
    ) -> None:
        """See `Teller.tell`."""
        refuses: Exception | None = None
        with self._broker.watch(why_broker_away), self._producers.acquire(block=True, timeout=CONFIRM_S) as producer:
            try:
                self._publish(producer, aged(outcome, now, replayed=replayed), exchange=self._exchange)
            except (OperationalError, MessageNacked) as fault:
                if not _is_nack(fault):
                    raise
                refuses = ExchangeRefuses("a queue that is bound to `outcomes` is full")
            for reply in replies:
                message = aged(outcome, now, replayed=reply.replayed or replayed)
                try:
                    if reply.medium == "list":
                        self._push(reply.address, message)
                    else:
                        self._publish(producer, message, reply=reply)
                except (ResponseError, OperationalError, MessageNacked) as fault:
                    if (why := _why_refused(fault)) is None:
                        raise
                    refuses = refuses or AddressRefuses(why)
        if refuses is not None:
            raise refuses

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
            confirm_timeout=CONFIRM_S,
        )
        if reply and self._lists is not None:
            self._lists.expire(reply.address, LIST_LIFE_S)

    def _push(self, address: str, message: Mapping[str, Any]) -> None:
        if self._lists is None:
            return
        # Not in one go: a key of another kind refuses the outcome, and must not be given an end by what follows it.
        self._lists.lpush(address, _encode(message))
        self._lists.expire(address, LIST_LIFE_S)


def _is_nack(fault: BaseException) -> bool:
    """Whether RabbitMQ has a queue that refuses the message. kombu, which tries again, wraps the error."""
    return isinstance(fault, MessageNacked) or isinstance(fault.__cause__, MessageNacked)


def _why_refused(fault: Exception) -> str | None:
    """Say why an address takes nothing though the broker is well; None: the broker is away."""
    if _is_nack(fault):
        return "reply_to is a full queue"
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
    return storable(json.dumps(message, separators=(",", ":"), ensure_ascii=False))

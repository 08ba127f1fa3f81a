"""From a message to a lead, to a lead that breaks rules, or to a dead letter. Pure, and the same for every broker."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from tasks.core import jsonobject
from tasks.core.lead import Lead
from tasks.core.money import Money
from tasks.core.protocol import Call, Protocol
from tasks.core.validation import LEAD_ID, Defaults, InvalidLead, read_lead
from tasks.ledger import Arrival, Reply
from workers.intake.message import LARGEST_BODY, Medium, Message, Unfit
from workers.topology import OURS

LONGEST_NAME: Final = 255  # bytes: what AMQP can carry as an id, a correlation or a queue's name
# What kombu, Celery and we ourselves keep on a Redis beside the queues: a reply pushed there would break it.
KEPT_KEYS: Final = ("pingpost:", "_kombu", "unacked", "leads.", "calls.")
# Queues on which Celery's workers, Flower and delayed tasks hear from each other.
CELERYS: Final = ("celeryev", "celery_delayed_")
CELERYS_ENDING: Final = ".celery.pidbox"
_FIRST_MS: Final = 100_000_000_000  # as seconds, the year 5138: no clock of a producer's says that
ECHOED: Final = ("numcategory", "subid", "customid")


@dataclass(frozen=True, slots=True)
class Broken:
    """A lead that breaks rules: it has an id to answer under, and a reason that names every fault.

    `known` holds of `numcategory`, `subid` and `customid` what was given and is right.
    """

    lead_id: str = field(repr=False)
    reason: str
    reply: Reply | None = None
    known: Mapping[str, str] = field(default_factory=dict)


Route = Callable[[Lead], tuple[Call, Money | None]]


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads messages by a buyer's tables. `route` gives a lead's first call and a direct post's price."""

    protocol: Protocol
    defaults: Defaults
    route: Route
    test: bool
    keeps_keys: bool
    """Whether reply addresses share a keyspace with the broker's own bookkeeping (Redis, Valkey)."""

    def read(self, message: Message) -> Arrival | Broken | Unfit:
        """Read one message."""
        if message.unreadable:
            return Unfit(message.unreadable)
        try:
            given = jsonobject.parse(message.body, LARGEST_BODY)
        except jsonobject.NotAnObject as fault:
            return Unfit(str(fault))
        if "lead_id" not in given and message.message_id:
            given["lead_id"] = message.message_id
        lead_id = given.get("lead_id")
        if not isinstance(lead_id, str) or not lead_id:
            return Unfit("lead_id: required" if "lead_id" not in given else "lead_id: must be a string, not empty")
        if not _fits(lead_id):
            return Unfit(f"lead_id: longer than {LONGEST_NAME} bytes")
        reply, faults = self._reply(message, given)
        try:
            lead = read_lead(given, self.protocol, self.defaults)
        except InvalidLead as invalid:
            faults = [*invalid.faults, *faults]
        if not faults:
            try:
                return self._arrival(lead, message, reply)
            except InvalidLead as unsellable:
                faults = unsellable.faults
        return Broken(lead_id, "; ".join(faults), reply, self._known(given, faults))

    def _arrival(self, lead: Lead, message: Message, reply: Reply | None) -> Arrival:
        call, price = self.route(lead)
        sent_at = None if lead.created_at else sent(message.timestamp)
        return Arrival(lead, call, self.test, reply, message.redelivered, sent_at, price)

    def _reply(self, message: Message, given: Mapping[str, Any]) -> tuple[Reply | None, list[str]]:
        """Find out who asks for the outcome; a fault means that nobody can be told."""
        medium: Medium = "queue"
        address = message.reply_to
        if not address:
            # A property wins over the field, which is all that a client without properties has.
            medium, address = message.medium, given.get("reply_to")
        correlation_id = message.correlation_id
        if correlation_id is not None and not (_fits(correlation_id) and _is_plain(correlation_id)):
            return None, [f"correlation_id: must be at most {LONGEST_NAME} bytes, without control characters"]
        if not isinstance(address, str) or not address:
            return None, []  # where it is given and no string, the fields table says so
        if not (_fits(address) and _is_plain(address)):
            return None, [f"reply_to: must be a queue's name of at most {LONGEST_NAME} bytes"]
        if self._is_kept(address):
            return None, ["reply_to: names a queue of ours"]
        return Reply(medium, address, correlation_id), []

    def _is_kept(self, address: str) -> bool:
        kept = (*CELERYS, *KEPT_KEYS) if self.keeps_keys else CELERYS
        return address in OURS or address.startswith(kept) or address.endswith(CELERYS_ENDING)

    def _known(self, given: Mapping[str, Any], faults: list[str]) -> dict[str, str]:
        wrong = {fault.partition(":")[0] for fault in faults}
        known = {name: given[name] for name in ECHOED if name in given and name not in wrong}
        if "subid" not in given and self.defaults.subid:
            known["subid"] = self.defaults.subid
        return {name: str(value) for name, value in known.items() if value != ""}


def shown(lead_id: str) -> str:
    """Give a lead's id as logs and the ledger may keep it: one that breaks the rule may be anything of a caller's."""
    return lead_id if LEAD_ID.fullmatch(lead_id) else "(ill-formed)"


def sent(timestamp: int | None) -> datetime | None:
    """Read an AMQP timestamp: seconds by the standard, milliseconds by the habit of some clients; 0 is no time."""
    if not timestamp or timestamp < 0:
        return None
    seconds = timestamp / 1000 if timestamp > _FIRST_MS else timestamp
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _fits(name: str) -> bool:
    return len(name) <= LONGEST_NAME and len(name.encode("utf-8", "surrogatepass")) <= LONGEST_NAME


def _is_plain(name: str) -> bool:
    if name.isascii() and name.isprintable():
        return True
    return not any(unicodedata.category(character) in ("Cc", "Cs") for character in name)

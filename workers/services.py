"""The composition root: from settings to what a step, the front door and the commands need."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import time
from functools import cached_property
from importlib.metadata import version
from typing import TypeVar
from zoneinfo import ZoneInfo

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tasks.absence import Absence
from tasks.buyers.http import BuyerConfig, HttpBuyer
from tasks.buyers.mapping import AnswerMapping
from tasks.buyers.registry import load_mapping, load_protocol
from tasks.buyers.ziplist import Ziplist, load_ziplist
from tasks.core.caps import Calendar
from tasks.core.lead import Flow, Lead
from tasks.core.limits import NO_LIMITS, Limits, read_limits
from tasks.core.money import Money
from tasks.core.protocol import Call, Protocol
from tasks.core.validation import Defaults, InvalidLead
from tasks.gates import RedisStore, Register, SharedGates
from tasks.ledger import Ledger
from tasks.sell import first_call
from tasks.services import Rules, Services
from tasks.telling import Teller
from workers.metrics import Counts
from workers.places import Places, for_redis_py, is_store, resolve
from workers.schedule import SCHEDULE
from workers.settings import PREFIX, Settings, SettingsError
from workers.starting import Starter
from workers.tellers import open_list_publisher, open_publisher, open_teller
from workers.topology import declare_tasks

T = TypeVar("T")


# redis-py's own retries wait for up to half a minute in all: a step has a deadline, and says itself what comes again.
# Once more, at once, mends a connection that was closed while idle.
_ONCE_MORE = Retry(NoBackoff(), 1)


class Wiring:
    """Everything of one process, each part built when it is first asked for."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def close(self) -> None:
        """Write what is still to be written, and let go what was opened."""
        if "gates" in vars(self):
            self.gates.flush()
        for name in ("teller", "ledger", "buyer"):
            if name in vars(self):
                getattr(self, name).close()

    @cached_property
    def places(self) -> Places:
        """Where broker, state store and ledger are."""
        return resolve(self.settings)

    @cached_property
    def protocol(self) -> Protocol:
        """The buyer's tables, with the operator's categories."""
        return _named("CATEGORIES", lambda: load_protocol(self.settings.categories))

    @cached_property
    def mapping(self) -> AnswerMapping:
        """How the buyer's answers are read."""
        return _named("MAPPING", lambda: load_mapping(self.settings.mapping))

    @cached_property
    def ziplist(self) -> Ziplist | None:
        """The agreed prices of direct posts."""
        path = self.settings.ziplist
        return _named("ZIPLIST", lambda: load_ziplist(path)) if path else None

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger; its tables must exist."""
        return Ledger.open(self.places.ledger_url)

    @cached_property
    def store(self) -> Redis:
        """The state store's client, which decodes what it reads."""
        return Redis.from_url(
            for_redis_py(self.places.state_url),
            decode_responses=True,
            # A step that waits longer for its gates goes on without them (`tasks/gates/shared.py`).
            socket_timeout=1,
            socket_connect_timeout=1,
            retry=_ONCE_MORE,
        )

    @cached_property
    def gates(self) -> SharedGates:
        """What all workers know of the buyer together."""
        settings = self.settings
        store = RedisStore(
            self.store,
            partner_id=settings.partner_id,
            test=settings.test_mode,
            ceiling=settings.calls_per_s,
        )
        return SharedGates(store, Register(self.ledger, self.calendar, test=settings.test_mode))

    @property
    def calendar(self) -> Calendar:
        """The buyer's days."""
        settings = self.settings
        return Calendar(ZoneInfo(settings.buyer_timezone), time.fromisoformat(settings.buyer_reset))

    @cached_property
    def limits(self) -> Limits:
        """The operator's own daily limits."""
        path = self.settings.limits
        return _named("LIMITS", lambda: read_limits(path.read_text("utf-8").splitlines())) if path else NO_LIMITS

    @cached_property
    def broker(self) -> Absence:
        """Whether the broker is away, as this process has last seen."""
        return Absence("broker")

    @cached_property
    def teller(self) -> Teller:
        """Where outcomes are told."""
        return open_teller(self.places.broker_url, self.broker, self.settings.concurrency)

    @cached_property
    def starter(self) -> Starter:
        """Who publishes tasks, many at once."""
        url, queue_type = self.places.broker_url, self.settings.queue_type
        if is_store(url):
            return Starter(open_list_publisher(url), self.broker)
        return Starter(open_publisher(url, lambda channel: declare_tasks(channel, queue_type)), self.broker)

    @cached_property
    def buyer(self) -> HttpBuyer:
        """The buyer over HTTP."""
        return HttpBuyer(self.protocol, self.mapping, self.buyer_config)

    @cached_property
    def buyer_config(self) -> BuyerConfig:
        """How the buyer is called."""
        settings = self.settings
        return BuyerConfig(
            partner_id=settings.partner_id,
            key=settings.key.get_secret_value(),
            endpoints={
                Call.PING: settings.ping_url,
                Call.POST: settings.post_url,
                Call.ONE_STEP: settings.one_step_url or self.protocol.one_step_url,
                Call.DIRECT_POST: settings.direct_post_url,
            },
            method=settings.method,
            resptype=settings.resptype,
            send_price=settings.send_price,
            connect_timeout_s=settings.connect_timeout_s,
        )

    @property
    def rules(self) -> Rules:
        """What the operator decided."""
        settings = self.settings
        return Rules(
            floor=Money.of(settings.min_price),
            ping_timeout_s=settings.ping_timeout_s,
            post_timeout_s=settings.post_timeout_s,
            partner_id=settings.partner_id,
            cap_scope=settings.cap_scope,
            calendar=self.calendar,
            send_floor=settings.send_price in ("ping", "both"),
            send_price=settings.send_price in ("post", "both"),
            retention_days=settings.retention_days,
            account_probe_s=settings.account_probe_s,
            limits=self.limits,
        )

    @cached_property
    def counts(self) -> Counts:
        """What this process has counted since it began."""
        protocol = self.protocol
        return Counts(
            codes=protocol.codes,
            categories=protocol.categories,
            tasks=[entry["task"] for entry in SCHEDULE.values()],
            version=version("pingpost"),
        )

    @cached_property
    def services(self) -> Services:
        """What a step needs."""
        return Services(
            ledger=self.ledger,
            buyer=self.buyer,
            gates=self.gates,
            teller=self.teller,
            protocol=self.protocol,
            rules=self.rules,
            chance=random.random,
            measures=self.counts,
        )

    @property
    def defaults(self) -> Defaults:
        """What a lead gets where it names nothing itself."""
        settings = self.settings
        return Defaults(Flow(settings.flow), settings.deadline_s, settings.subid, settings.test_mode)

    def route(self, lead: Lead) -> tuple[Call, Money | None]:
        """Choose a lead's first call, and a direct post's price.

        Raises:
            InvalidLead: the lead asks for a flow whose calls have nowhere to go.
        """
        listed = self.ziplist.price_for(lead.fields["zipcode"], lead.numcategory) if self.ziplist else None
        call, price = first_call(lead, listed)
        endpoints = self.buyer_config.endpoints
        missing = [step for step in ((call, Call.POST) if call is Call.PING else (call,)) if not endpoints[step]]
        if missing:
            raise InvalidLead([f"flow: {lead.flow} needs a {step}, which has no endpoint here" for step in missing])
        return call, price

    def require_endpoints(self) -> None:
        """Refuse to run where the calls of the flow have nowhere to go.

        Raises:
            SettingsError: naming each variable that is missing.
        """
        needed = {
            "ping_post": (Call.PING, Call.POST),
            "one_step": (Call.ONE_STEP,),
            # A lead whose zip code is on no list would be pinged: that is said to the lead.
            "direct_post": (Call.DIRECT_POST,),
        }[self.settings.flow]
        endpoints = self.buyer_config.endpoints
        missing = [f"{PREFIX}{call.upper()}_URL" for call in needed if not endpoints[call]]
        if missing:
            raise SettingsError("; ".join(f"{name}: not set (the buyer gives it)" for name in missing))


def _named(variable: str, read: Callable[[], T]) -> T:
    """Turn what a file of the operator's has wrong into a settings error that names the variable."""
    try:
        return read()
    except (ValueError, OSError) as wrong:
        raise SettingsError(f"{PREFIX}{variable}: {wrong}") from None

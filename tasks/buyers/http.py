"""The buyer over HTTP: one call, one exchange, never repeated.

What the network does is never an exception here. Texts of libraries (which hold URLs) never leave this module: `why` is
always one of our own phrases.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from http.client import HTTPException
from importlib.metadata import version
from os import getpid
from typing import Any, Final, Literal
from urllib.parse import quote_plus, unquote, urlsplit
from weakref import WeakSet

from requests import PreparedRequest, Request, Session
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from tasks.buyers.answers import Facts, dialled, read_facts
from tasks.buyers.flight import Flight
from tasks.buyers.hearing import Heard
from tasks.buyers.letsmakealead.wire import Sender, SendPrice, interpret, read_retry_after, request_fields
from tasks.buyers.mapping import AnswerMapping
from tasks.buyers.masking import Masker
from tasks.buyers.pools import DeadlineAdapter
from tasks.buyers.port import Exchange, Offer
from tasks.core.bid import Bid
from tasks.core.outcome import REASON_LENGTH
from tasks.core.protocol import Call, Protocol
from tasks.core.reasons import Answer, Refusal, Unanswered, Unreadable
from tasks.core.sale import Sale

RAW_LENGTH: Final = 4000
Method = Literal["form", "json", "get"]

_ACCEPT: Final = {"JSON": "application/json, */*;q=0.5", "XML": "application/xml, text/xml, */*;q=0.5"}
_BODY_TYPE: Final = {"form": "application/x-www-form-urlencoded", "json": "application/json"}
_UNQUOTED: Final = re.compile(r"[\w.~-]*", re.ASCII)  # as `quote_plus` has it
_FAULTS: Final = (RequestException, HTTPError, HTTPException, OSError, ValueError)


class EndpointMissing(ValueError):
    """A call has nowhere to go: `variable` is the setting that names its endpoint."""

    def __init__(self, call: Call, variable: str) -> None:
        super().__init__(f"{variable}: not set, and a {call} needs it")
        self.call = call
        self.variable = variable


@dataclass(frozen=True, slots=True)
class BuyerConfig:
    """Who calls, where, and how. `send_price` names the calls that carry a price beside direct posts."""

    partner_id: str
    key: str = field(repr=False)
    endpoints: Mapping[Call, str | None] = field(repr=False)
    method: Method = "form"
    resptype: str = "JSON"
    send_price: SendPrice = "none"
    connect_timeout_s: float = 1.0


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """A URL without its query, which is kept apart, and the headers that never change."""

    url: str
    query: str
    headers: Mapping[str, str]
    secrets: tuple[str, ...] = field(default=(), repr=False)  # the URL's password, as it was written and as it is sent


class _Line:
    """One thread's session: its adapter, and what the environment says of proxies and certificates for each URL."""

    def __init__(self) -> None:
        self.pid = getpid()
        self.session = Session()
        self.adapter = DeadlineAdapter()
        self.session.mount("http://", self.adapter)
        self.session.mount("https://", self.adapter)
        self._environment: dict[str, Any] = {}
        self._masker = Masker((), {})

    def masker(self, secrets: tuple[str, ...], identity: Mapping[str, str]) -> Masker:
        """Give what masks these values; a ping and its post have the same."""
        if not self._masker.knows(secrets, identity):
            self._masker = Masker(secrets, identity)
        return self._masker

    def environment(self, url: str) -> Any:
        found = self._environment.get(url)
        if found is None:
            found = self.session.merge_environment_settings(url, {}, True, None, None)
            self._environment[url] = found
        return found


class HttpBuyer:
    """Calls a buyer over HTTP. Safe under threads, each of which has connections of its own, and after a fork.

    Args:
        clock: monotonic seconds.
        now: the time of day, for a Retry-After that names one.
        listen: is handed each whole body, as it came, and its content type. Nothing in it is masked: it is there for
            `pingpost certify`, whose caller is a sample.
    """

    def __init__(
        self,
        protocol: Protocol,
        mapping: AnswerMapping,
        config: BuyerConfig,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        listen: Callable[[bytes, str | None], object] = lambda _body, _content_type: None,
    ) -> None:
        self._protocol = protocol
        self._mapping = mapping
        self._config = config
        self._clock = clock
        self._now = now
        self._listen = listen
        self._sender = Sender(config.partner_id, config.key, config.resptype, config.send_price)
        self._hidden = protocol.identity_fields | {rule.name for rule in protocol.fields if rule.secret}
        self._endpoints = {call: _endpoint(url, config) for call, url in config.endpoints.items() if url}
        self._lines: WeakSet[_Line] = WeakSet()
        self._here = threading.local()

    def ask(self, call: Call, offer: Offer, timeout_s: float) -> Exchange:
        """Make one call; `timeout_s` is the time for everything, from now to the answer's last byte.

        Raises:
            EndpointMissing: the call has no endpoint.
            ValueError: the offer lacks what the call needs (a token, a price). Nothing was sent.
        """
        endpoint = self._endpoints.get(call)
        if endpoint is None:
            raise EndpointMissing(call, f"PINGPOST_{call.upper()}_URL")
        fields = request_fields(call, offer, self._sender, self._protocol)
        identity = {name: offer.fields[name] for name in self._protocol.identity_fields if offer.fields.get(name)}
        masker = self._line().masker((self._config.key, *endpoint.secrets), identity)
        request, query = self._request(endpoint, fields)
        flight = Flight(
            sells=call.sells,
            timeout_s=timeout_s,
            connect_timeout_s=self._config.connect_timeout_s,
            query=query,
            clock=self._clock,
        )
        began = self._clock()
        heard = Heard(self._protocol.answer_bytes)
        trouble = self._fly(request, flight, heard)
        answer: Answer = trouble or self._read(call, heard, offer, fields)
        answer = _without_what_it_was_told(answer, (self._config.key, *endpoint.secrets), identity)
        if isinstance(answer, Refusal) and answer.reason is not None:
            answer = replace(answer, reason=masker.mask(answer.reason)[:REASON_LENGTH])
        return Exchange(
            call=call,
            answer=answer,
            http_status=heard.status,
            duration_ms=(self._clock() - began) * 1000,
            request=masker.mask_fields(fields, self._hidden),
            raw=masker.mask(heard.text(whole=trouble is None))[:RAW_LENGTH],
        )

    def close(self) -> None:
        """Close every thread's connections. A later call opens new ones."""
        for line in list(self._lines):
            line.session.close()

    def _request(self, endpoint: _Endpoint, fields: Mapping[str, str]) -> tuple[PreparedRequest, str]:
        """Give a request, and the query that is kept out of it."""
        request = PreparedRequest()
        request.url = endpoint.url
        headers = dict(endpoint.headers)
        query = endpoint.query
        if self._config.method == "get":
            request.method = "GET"
            query = f"{query}{'&' if query else '?'}{_form(fields)}"
        else:
            request.method = "POST"
            as_json = self._config.method == "json"
            text = json.dumps(fields, separators=(",", ":")) if as_json else _form(fields)
            request.body = body = text.encode()
            headers["Content-Length"] = str(len(body))
        request.headers = headers  # type: ignore[assignment]  # the adapter copies and reads them, as any mapping
        return request, query

    def _fly(self, request: PreparedRequest, flight: Flight, heard: Heard) -> Unanswered | None:
        """Send a request and hear the answer out. What went wrong is returned."""
        line = self._line()
        try:
            answer = line.adapter.call(request, flight, line.environment(str(request.url)))
            try:
                heard.listen(answer)
            finally:
                line.adapter.done_with(answer, whole=heard.whole)
        except _FAULTS as fault:
            return Unanswered(flight.trouble or _phrase(fault, flight), never_sent=not flight.sent)
        return None

    def _line(self) -> _Line:
        line: _Line | None = getattr(self._here, "line", None)
        if line is None or line.pid != getpid():  # after a fork, the parent's connections are not ours
            line = self._here.line = _Line()
            self._lines.add(line)
        return line

    def _read(self, call: Call, heard: Heard, offer: Offer, sent: Mapping[str, str]) -> Answer:
        status, headers = heard.status or 0, heard.headers
        facts: Facts | Unreadable
        if isinstance(content := heard.content(), Unreadable):
            facts = content
        else:
            self._listen(content, headers.get("content-type"))
            facts = read_facts(content, headers.get("content-type"), self._mapping)
        return interpret(
            call,
            facts,
            status,
            self._protocol,
            retry_after_s=read_retry_after(headers.get("retry-after"), self._now),
            telephone=offer.fields.get("telephone", ""),
            sent=sent,
            echoes=self._mapping.echoes,
        )


def _form(fields: Mapping[str, str]) -> str:
    """Give fields as a form sends them. Most need no quoting, for which the library looks several times at each."""
    return "&".join([f"{_quoted_name(name)}={_quoted(value)}" for name, value in fields.items()])


def _quoted(text: str) -> str:
    return text if _UNQUOTED.fullmatch(text) else quote_plus(text)


_quoted_name = cache(_quoted)  # the protocol's fields


def _without_what_it_was_told(answer: Answer, secrets: Sequence[str], identity: Mapping[str, str]) -> Answer:
    """Take a token that is the key, or the caller's telephone or name, for none: tokens are logged and kept."""
    token = answer.token if isinstance(answer, Bid | Sale) else None
    if token is None:
        return answer
    telephone = dialled(identity.get("telephone", ""))
    told = any(secret in token for secret in secrets) or token.casefold() in map(str.casefold, identity.values())
    if not told and not (telephone and dialled(token) == telephone):
        return answer
    # A number to forward to is a sale all the same; a bid without a token is none.
    return replace(answer, token=None) if isinstance(answer, Sale) else Unreadable("the token is what it was told")


def _endpoint(url: str, config: BuyerConfig) -> _Endpoint:
    prepared = Request("POST", url).prepare()
    parts = urlsplit(str(prepared.url))
    headers = {
        "User-Agent": f"pingpost/{version('pingpost')}",
        "Accept-Encoding": "identity",
        "Accept": _ACCEPT.get(config.resptype, "*/*"),
    }
    if config.method != "get":
        headers["Content-Type"] = _BODY_TYPE[config.method]
    secrets: tuple[str, ...] = ()
    if authorization := prepared.headers.get("Authorization"):
        headers["Authorization"] = str(authorization)
        secrets = (str(authorization).rpartition(" ")[2], unquote(parts.password or ""))
    host = parts.netloc.rpartition("@")[2]
    bare = parts._replace(netloc=host, query="", fragment="").geturl()
    return _Endpoint(bare, f"?{parts.query}" if parts.query else "", headers, tuple(filter(None, secrets)))


def _phrase(fault: Exception, flight: Flight) -> str:
    """Say in our own words what went wrong where no connection of ours has."""
    if not flight.sent:
        return f"nothing was sent ({type(fault).__name__})"
    if flight.ended:
        return "answer cut short" if flight.received else "connection closed without an answer"
    return "connection reset" if isinstance(fault, ConnectionError) else "the answer is no HTTP"

"""The sandbox over HTTP: one handler, a dictionary for a router, and a socket."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from ops.sandbox.buyer import Buyer, Reply
from ops.sandbox.reading import FORM, JSON, UnreadableError, read_form, read_json, read_pairs
from ops.sandbox.rulebook import Call
from ops.sandbox.scenario import ScenarioError, scenario_from, scenario_from_text
from ops.sandbox.wire import REDIRECTED, Wire, plain

PATHS = {
    "/ping": Call.PING,
    "/post": Call.POST,
    "/one_step": Call.ONE_STEP,
    "/Ping_Partner_CR.php": Call.ONE_STEP,
    "/direct_post": Call.DIRECT_POST,
}
# aiohttp cuts a request line and a header off at 8 KiB; this is the same care for bodies.
MAX_BODY = 64 * 1024
MAX_SCENARIO = 1024 * 1024
_CLOSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the sandbox listens."""

    base: str

    def of(self, call: Call) -> str:
        """Return the URL of a call."""
        return f"{self.base}/{call}"

    def environment(self) -> dict[str, str]:
        """Return the settings that point pingpost at this sandbox."""
        return {f"PINGPOST_{call.upper()}_URL": self.of(call) for call in Call}


class _TooLargeError(Exception):
    """A body over the limit."""


class Server:
    """One listening sandbox; used on the loop in which it was started."""

    def __init__(self, buyer: Buyer) -> None:
        self._buyer = buyer
        self._wire = Wire()
        self._control: dict[tuple[str, str], Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]] = {
            ("GET", "/_sandbox/book"): self._book,
            ("POST", "/_sandbox/reset"): self._reset,
            ("POST", "/_sandbox/new_day"): self._new_day,
            ("PUT", "/_sandbox/scenario"): self._scenario,
            ("GET", REDIRECTED): self._redirected,
            ("POST", REDIRECTED): self._redirected,
        }

    async def start(self, host: str, port: int) -> Endpoints:
        """Listen; port 0 takes a free one.

        Raises:
            OSError: the address cannot be had.
        """
        loop = asyncio.get_running_loop()
        self._http = web.Server(
            self._handle,
            handler_cancellation=True,  # a seller that hangs up ends the wait of `hang`
            access_log=None,
            logger=_identity_free_logger(),
            auto_decompress=False,
        )
        self._listener = await loop.create_server(self._http, host, port, backlog=1024)
        bound = self._listener.sockets[0].getsockname()[1]
        return Endpoints(f"http://{f'[{host}]' if ':' in host else host}:{bound}")

    async def close(self) -> None:
        """Stop listening and let go of every connection."""
        self._listener.close()
        self._wire.closing.set()
        self._http.pre_shutdown()
        await self._http.shutdown(timeout=_CLOSE_S)
        await self._listener.wait_closed()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        call = PATHS.get(path)
        if call is None:
            control = self._control.get((request.method, path))
            return await control(request) if control else _json({"error": "no such path"}, 404)
        try:
            reply = await self._judge(request, call, query)
        except _TooLargeError:
            return plain(b"", "text/plain", 413)
        if reply is None:
            return plain(b"", "text/plain", 405)
        return await self._wire.send(request, reply)

    async def _judge(self, request: web.BaseRequest, call: Call, query: str) -> Reply | None:
        """Read the fields, by any of the three methods, and ask the buyer; None where it is another method."""
        method = request.method
        body = await _read(request, MAX_BODY)
        if method not in ("GET", "POST"):
            return None
        content_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        name = "get"
        try:
            if method == "GET":
                return self._buyer.answer(call, name, read_pairs(query))
            name = "json" if content_type == JSON else "form"
            if content_type not in (FORM, JSON):
                raise UnreadableError("neither a form nor JSON")
            if query:
                raise UnreadableError("a query string on a POST")
            return self._buyer.answer(call, name, read_json(body) if name == "json" else read_form(body))
        except UnreadableError as fault:
            return self._buyer.unreadable(call, name, str(fault))

    async def _book(self, request: web.BaseRequest) -> web.StreamResponse:
        asked = request.query
        return _json(self._buyer.book.report(calls="calls" in asked, tokens="tokens" in asked), 200)

    async def _reset(self, _request: web.BaseRequest) -> web.StreamResponse:
        self._buyer.reset()
        return _json({}, 200)

    async def _new_day(self, _request: web.BaseRequest) -> web.StreamResponse:
        self._buyer.new_day()
        return _json({}, 200)

    async def _redirected(self, _request: web.BaseRequest) -> web.StreamResponse:
        self._buyer.redirect_followed()
        return _json({"error": "a redirect was followed"}, 200)

    async def _scenario(self, request: web.BaseRequest) -> web.StreamResponse:
        """Take a scenario, in TOML or, with that content type, in JSON."""
        try:
            text = (await _read(request, MAX_SCENARIO)).decode()
            if request.content_type == JSON:
                data = json.loads(text)
                scenario = scenario_from(data if isinstance(data, dict) else {"": data})
            else:
                scenario = scenario_from_text(text)
        except (ScenarioError, ValueError, RecursionError) as fault:
            return _json({"error": str(fault)}, 400)
        except _TooLargeError:
            return _json({"error": f"over {MAX_SCENARIO} bytes"}, 413)
        self._buyer.play(scenario)
        return _json({"rules": len(scenario.rules)}, 200)


async def serve_until_stopped(buyer: Buyer, host: str, port: int, announce: Callable[[Endpoints], None]) -> None:
    """Serve in the foreground until SIGTERM or SIGINT.

    Args:
        announce: told where the sandbox listens, once it does.

    Raises:
        OSError: the address cannot be had.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    server = Server(buyer)
    announce(await server.start(host, port))
    await stopped.wait()
    await server.close()


async def _read(request: web.BaseRequest, limit: int) -> bytes:
    """Read a body, of which no more than `limit` bytes are ever held."""
    content = request.content
    body = await content.readany()
    while not content.at_eof():
        if len(body) > limit:
            break
        body += await content.readany()
    if len(body) > limit:
        raise _TooLargeError
    return body


def _json(data: Mapping[str, Any], status: int) -> web.Response:
    return plain(json.dumps(data).encode(), JSON, status)


def _identity_free_logger() -> logging.Logger:
    """Return a logger whose lines name the kind of a fault only: aiohttp's quote the bytes that a seller sent."""
    logger = logging.getLogger("ops.sandbox")
    if not logger.filters:
        logger.addFilter(_without_words)
    return logger


def _without_words(record: logging.LogRecord) -> bool:
    kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else "fault"
    record.msg, record.args, record.exc_info = "sandbox: a request failed: %s", (kind,), None
    return True

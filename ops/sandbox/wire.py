"""How a reply goes over the wire: as it should, or with one of the faults of a bad day."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

from aiohttp import web

from ops.sandbox.buyer import Reply
from ops.sandbox.layouts import Rendered, render
from ops.sandbox.scenario import Fault

REDIRECTED = "/_sandbox/redirected"
GARBAGE = b'\x00\xff\xfe{"status":]<response><<%%\x80 7\r\n'
HTML = b"<!DOCTYPE html><html><head><title>Maintenance</title></head><body><h1>We will be back soon</h1></body></html>"
_ENDLESS_START = b'{"status": "accepted", "remark": "'
_ENDLESS_PIECE = b"and so on " * 1600
_DISCARD = struct.pack("ii", 1, 0)
_NOTHING = Rendered("text/plain", b"")


class Wire:
    """Sends replies; once `closing` is set, whatever still holds a connection open lets go of it."""

    def __init__(self) -> None:
        self.closing = asyncio.Event()

    async def send(self, request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
        """Send a reply.

        Returns:
            The response that aiohttp is to finish; of a connection that is gone, one that it cannot.
        """
        if reply.latency_s:
            await asyncio.sleep(reply.latency_s)
        rendered = render(reply.layout, reply.answer) if reply.answer is not None else _NOTHING
        if reply.fault is not None:
            return await self._misbehave(request, reply, reply.fault, rendered)
        return plain(rendered.body, rendered.content_type, reply.http_status, reply.retry_after_s)

    async def _misbehave(
        self, request: web.BaseRequest, reply: Reply, fault: Fault, rendered: Rendered
    ) -> web.StreamResponse:
        match fault:
            case Fault.RESET | Fault.DROP_AFTER_SALE:
                return _reset(request)
            case Fault.HANG:
                await self.closing.wait()
                return _reset(request)
            case Fault.LATE_SALE:
                await self._pause(reply.pause_s)
                return plain(rendered.body, rendered.content_type, reply.http_status)
            case Fault.CUT:
                return await _cut(request, rendered)
            case Fault.SLOW:
                return await self._slow(request, rendered, reply.pause_s)
            case Fault.ENDLESS:
                return await self._endless(request)
            case Fault.GARBAGE:
                return plain(GARBAGE, "application/json", 200)
            case Fault.HTML:
                return plain(HTML, "text/html", 200)
            case Fault.HTTP_500:
                return plain(b"<html><body>Internal Server Error</body></html>", "text/html", 500)
            case Fault.REDIRECT:
                return web.Response(status=302, headers={"Location": REDIRECTED})

    async def _slow(self, request: web.BaseRequest, rendered: Rendered, pause_s: float) -> web.StreamResponse:
        response = await _begin(request, rendered)
        for n in range(len(rendered.body)):
            await response.write(rendered.body[n : n + 1])
            await self._pause(pause_s)
        return response

    async def _endless(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(_ENDLESS_START)
        while not self.closing.is_set():
            await response.write(_ENDLESS_PIECE)
            await asyncio.sleep(0)
        return _reset(request)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.closing.wait(), seconds)


def plain(body: bytes, content_type: str, http_status: int, retry_after_s: float | None = None) -> web.Response:
    """Make an answer that arrives whole."""
    response = web.Response(body=body, status=http_status, content_type=content_type)
    if retry_after_s is not None:
        response.headers["Retry-After"] = f"{retry_after_s:g}"
    return response


async def _begin(request: web.BaseRequest, rendered: Rendered) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": rendered.content_type})
    response.content_length = len(rendered.body)
    await response.prepare(request)
    return response


async def _cut(request: web.BaseRequest, rendered: Rendered) -> web.StreamResponse:
    """Send half of what was announced, then close."""
    response = await _begin(request, rendered)
    await response.write(rendered.body[: len(rendered.body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


def _reset(request: web.BaseRequest) -> web.StreamResponse:
    """Close with RST: whatever was on its way is thrown away, and the seller's read fails."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DISCARD)
        request.transport.abort()
    return web.Response()

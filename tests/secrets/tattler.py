"""A buyer that tells everything on: each way to answer badly, with all that it was told in each place of an answer."""

from __future__ import annotations

import json
import socket
import struct
import threading
from base64 import b64decode
from collections.abc import Callable, Mapping
from http.server import ThreadingHTTPServer
from typing import Any, Final, Self
from urllib.parse import quote

from tests.servers.questioned import Questioned

Told = Mapping[str, str]


class _Tattler(Questioned):
    protocol_version = "HTTP/1.1"
    server: _Server

    def say(self, status: int, content: Mapping[str, Any] | str, told: Told, **options: Any) -> None:
        """Answer, with everything in the headers and in the status line too."""
        body = (content if isinstance(content, str) else json.dumps(content)).encode()
        self.send_response(status, f"Dear {told.get('firstname', 'XYZ')} of {told['key']}")
        for name, value in told.items():
            self.send_header(f"X-{name}", quote(value))
        self.send_header("Set-Cookie", f"key={told['key']}; path=/")
        self.send_header("Location", f"http://127.0.0.1:9/?{'&'.join(f'{n}={quote(v)}' for n, v in told.items())}")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body) + options.get("missing", 0)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def answer(self, told: Told) -> None:
        door = self.headers.get("Authorization", "")
        known = {**told, "door": door, "password": b64decode(door.rpartition(" ")[2]).decode().partition(":")[2]}
        _WAYS[WAYS[told["zipcode"]]](self, known)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Tattler)
        self.over = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever hung up hung up."""


def _words(told: Told) -> str:
    return ", ".join(f"{name} is {value}" for name, value in told.items())


def _sold(buyer: _Tattler, told: Told) -> None:
    answer = {"status": "sold", "token": "T-1", "price": "1.50", "phonenumber": "8005550100", "duration": "90"}
    buyer.say(200, {**answer, "reason": _words(told), "request": dict(told)}, told)


def _refused(buyer: _Tattler, told: Told) -> None:
    buyer.say(200, {"status": "rejected", "errorCode": "5000", "reason": f"No. {_words(told)}"}, told)


def _blocked(buyer: _Tattler, told: Told) -> None:
    buyer.say(200, {"status": "rejected", "errorCode": "2000", "reason": f"Bad key {told['key']}"}, told)


def _unreadable(buyer: _Tattler, told: Told) -> None:
    buyer.say(200, f"sorry: {_words(told)}", told)


def _broken(buyer: _Tattler, told: Told) -> None:
    buyer.say(500, f"Traceback: {_words(told)}", told)


def _redirected(buyer: _Tattler, told: Told) -> None:
    buyer.say(302, _words(told), told)


def _cut(buyer: _Tattler, told: Told) -> None:
    buyer.say(200, f'{{"reason": "{_words(told)}', told, missing=100)


def _no_http(buyer: _Tattler, told: Told) -> None:
    buyer.wfile.write(f"{_words(told)}\r\n\r\n".encode())
    buyer.close_connection = True


def _reset(buyer: _Tattler, told: Told) -> None:
    buyer.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    buyer.connection.close()
    buyer.close_connection = True


def _late(buyer: _Tattler, told: Told) -> None:
    buyer.server.over.wait(30)
    buyer.close_connection = True


_WAYS: Final[Mapping[str, Callable[[_Tattler, Told], None]]] = {
    "sold": _sold,
    "refused": _refused,
    "blocked": _blocked,
    "unreadable": _unreadable,
    "500": _broken,
    "redirect": _redirected,
    "cut": _cut,
    "no HTTP": _no_http,
    "reset": _reset,
    "timeout": _late,
}
WAYS: Final = {f"0010{number}": way for number, way in enumerate(_WAYS)}
"""The lead's zip code, and how a call for it is answered."""


class TattlingBuyer:
    """The server, in a thread of its own."""

    def __init__(self) -> None:
        self._server = _Server()
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

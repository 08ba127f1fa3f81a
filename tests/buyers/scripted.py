"""A buyer whose every byte is scripted: a raw socket server, one thread a connection."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

RESET = struct.pack("ii", 1, 0)
PATIENCE_S = 20.0


@dataclass(frozen=True)
class Received:
    """One request, as it came. `connection` counts connections from 1."""

    connection: int
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def fields(self) -> dict[str, str]:
        """The buyer's fields, by whichever of the three methods they came."""
        if self.method == "GET":
            pairs = parse_qsl(urlsplit(self.target).query, keep_blank_values=True, strict_parsing=True)
        elif self.headers["content-type"] == "application/json":
            pairs = json.loads(self.body, object_pairs_hook=list)
        else:
            pairs = parse_qsl(self.body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
        assert len(dict(pairs)) == len(pairs), "a field was sent twice"
        return dict(pairs)


@dataclass
class Conversation:
    """The server's side of one connection."""

    socket: socket.socket
    number: int
    over: threading.Event
    closed: bool = False
    _rest: bytes = field(default=b"")

    def read(self) -> Received | None:
        """Read one request; None where the client has gone."""
        while b"\r\n\r\n" not in self._rest:
            if not self._more():
                return None
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        first, *lines = head.decode("ascii").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        while len(self._rest) < length:
            if not self._more():
                return None
        body, self._rest = self._rest[:length], self._rest[length:]
        method, target, _ = first.split(" ")
        return Received(self.number, method, target, headers, body)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def dribble(self, data: bytes, pause_s: float) -> None:
        """Send a byte at a time until the client leaves or the test is over; what is sent never ends before."""
        for byte in data:
            self.send(bytes([byte]))
            if self.over.wait(pause_s):
                return

    def reset(self) -> None:
        """Close with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.close()

    def close(self) -> None:
        self.closed = True
        self.socket.close()

    def _more(self) -> bool:
        piece = self.socket.recv(65536)
        self._rest += piece
        return bool(piece)


Play = Callable[[Conversation], Any]


class Scripted:
    """A server on a free port of 127.0.0.1 that plays `play` on each connection."""

    def __init__(self, play: Play, tls: ssl.SSLContext | None = None) -> None:
        self.connections = 0
        self.gone = threading.Semaphore(0)
        self.requests: list[Received] = []
        self._play = play
        self._tls = tls
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept, daemon=True)

    @property
    def url(self) -> str:
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}/buy"

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in [self._acceptor, *self._threads]:
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "a script never ended"

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(client, self.connections), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket, number: int) -> None:
        client.settimeout(PATIENCE_S)
        try:
            if self._tls is not None:
                client = self._tls.wrap_socket(client, server_side=True)
            conversation = Conversation(client, number, self._over)
            self._play(conversation)
        except OSError:
            pass  # the client has left
        finally:
            client.close()
            self.gone.release()


def http(body: bytes, status: int = 200, **headers: str) -> bytes:
    """Write an HTTP answer. Header names are written with ``_`` for ``-``; an empty value leaves a header out."""
    lines = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
    return f"HTTP/1.1 {status} Something\r\n{head}\r\n".encode() + body


def answering(*answers: bytes) -> tuple[Play, list[Received]]:
    """Answer each request with the next of these, the last one for ever; the list gathers the requests."""
    received: list[Received] = []

    def play(client: Conversation) -> None:
        while (request := client.read()) is not None:
            received.append(request)
            client.send(answers[min(len(received), len(answers)) - 1])

    return play, received

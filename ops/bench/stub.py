"""A buyer that costs next to nothing: ``python -m ops.bench.stub`` prints its port, and answers until it is stopped.

It is no sandbox: every ping gets a bid, every post a number, and nothing is checked. One thread, one epoll, the answers
made beforehand but for a running number, so that what is measured is the one who asks. Over 50,000 answers a second on
a core (`ops.bench.machine` measures it in each run). ``GET /counts`` tells how many posts came, and when the last of
them had its answer, by the clock that all processes of a machine share.
"""

from __future__ import annotations

import argparse
import heapq
import select
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import Final

BACKLOG: Final = 1024
LARGEST_READ: Final = 65_536
_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"
_POST: Final = b"POST /post"
_COUNTS: Final = b"GET /counts"
_SLOW: Final = b"subid=slow"

PING_PATH: Final = "/ping"
POST_PATH: Final = "/post"
COUNTS_PATH: Final = "/counts"
BID: Final = b'{"status":"accepted","price":"12.50","token":"bid-%010d","call_duration":90}'
COUNTED: Final = b'{"posts":%10d,"last_at":%17.6f}'
SALE: Final = b'{"status":"accepted","price":"12.50","PhoneNumber":"+18005550199","call_duration":90,"id":"%010d"}'


def _answer(body: bytes) -> bytes:
    length = len(body % ((0,) * body.count(b"%")))
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    return head.encode() + body


@dataclass(slots=True)
class Stub:
    """The loop. `latency_s` after a request comes its answer; after `slow_s` where the lead's sub source is "slow"."""

    latency_s: float = 0.0
    slow_s: float = 0.0
    answered: int = 0
    posts: int = 0
    last_at: float = 0.0
    _listener: socket.socket = field(default_factory=socket.socket)
    _later: list[tuple[float, int, int, bytes]] = field(default_factory=list)
    _open: dict[int, socket.socket] = field(default_factory=dict)
    _begun: dict[int, bytes] = field(default_factory=dict)
    _bid: bytes = field(default=_answer(BID))
    _sale: bytes = field(default=_answer(SALE))
    _counted: bytes = field(default=_answer(COUNTED))

    def listen(self) -> int:
        """Listen on a free port of loopback, and give it."""
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(BACKLOG)
        self._listener.setblocking(False)
        port: int = self._listener.getsockname()[1]
        return port

    def run(self) -> None:
        """Answer until the process is ended."""
        poll = select.epoll()
        door = self._listener.fileno()
        poll.register(door, select.EPOLLIN)
        while True:
            due_in_s = max(0.0, self._later[0][0] - time.monotonic()) if self._later else -1
            for number, _ in poll.poll(due_in_s):
                if number == door:
                    self._welcome(poll)
                else:
                    self._serve(number)
            while self._later and self._later[0][0] <= time.monotonic():
                _, _, number, answer = heapq.heappop(self._later)
                self._send(number, answer)

    def _welcome(self, poll: select.epoll) -> None:
        connection, _ = self._listener.accept()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open[connection.fileno()] = connection
        poll.register(connection.fileno(), select.EPOLLIN)

    def _serve(self, number: int) -> None:
        try:
            received = self._open[number].recv(LARGEST_READ)
        except OSError:
            received = b""
        if not received:
            self._begun.pop(number, None)
            self._open.pop(number).close()  # epoll forgets what is closed
            return
        request = self._begun.pop(number, b"") + received
        if not _is_whole(request):
            self._begun[number] = request
            return
        if request.startswith(_COUNTS):
            self._send(number, self._counted % (self.posts, self.last_at))
            return
        self.answered += 1
        latency_s = self.slow_s if self.slow_s and _SLOW in request else self.latency_s
        if request.startswith(_POST):
            self.posts += 1
            self.last_at = max(self.last_at, time.monotonic() + latency_s)
            answer = self._sale % self.answered
        else:
            answer = self._bid % self.answered
        if latency_s:
            heapq.heappush(self._later, (time.monotonic() + latency_s, self.answered, number, answer))
        else:
            self._send(number, answer)

    def _send(self, number: int, answer: bytes) -> None:
        if (connection := self._open.get(number)) is not None:
            try:
                connection.send(answer)
            except OSError:
                return  # whoever hung up is heard of by epoll


def _is_whole(request: bytes) -> bool:
    end = request.find(_END)
    if end < 0:
        return False
    head = request[:end].lower()
    at = head.find(_LENGTH)
    length = int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
    return len(request) >= end + len(_END) + length


def main() -> None:
    """Answer until the process is ended."""
    parser = argparse.ArgumentParser(prog="python -m ops.bench.stub", description=__doc__)
    parser.add_argument("--latency-ms", type=float, default=0, help="the time of an answer")
    parser.add_argument("--slow-ms", type=float, default=0, help="the same for a lead of the sub source `slow`")
    given = parser.parse_args()
    stub = Stub(given.latency_ms / 1000, given.slow_ms / 1000)
    sys.stdout.write(f"{stub.listen()}\n")
    sys.stdout.flush()
    stub.run()


if __name__ == "__main__":
    main()

"""A buyer that says back everything that it was told: the worst that a log, a ledger and a page can be fed."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from http.server import ThreadingHTTPServer
from typing import Self

from tests.servers.questioned import Questioned

UNREADABLE = "00001"
REFUSED = "00002"


class _Echo(Questioned):
    protocol_version = "HTTP/1.1"

    def answer(self, fields: Mapping[str, str]) -> None:
        told = ", ".join(f"{name} is {value}" for name, value in fields.items())
        answer = {"request": fields, "sorry": told}
        if fields["zipcode"] == REFUSED:
            reason = f"Nobody wants it. {told}"
            answer = {"status": "rejected", "errorCode": "5000", "reason": reason, "request": fields}
        self.reply("application/json", json.dumps(answer).encode())


class EchoBuyer:
    """The server, in a thread of its own. The lead's zip code chooses between two answers."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}/echo"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

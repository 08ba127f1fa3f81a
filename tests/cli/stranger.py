"""A buyer that does what its page says and writes as no page says, in a form of its own.

It says back in each answer what it was told, the key too.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Mapping
from http.server import ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from tests.servers.questioned import Questioned

CALLS = ("ping", "post", "one_step", "direct_post")
NUMBER = "+1 (855) 555-01{:02}"
Facts = Mapping[str, Any]
Write = Callable[[str, Facts, Mapping[str, str]], str]


def in_spanish(_call: str, facts: Facts, sent: Mapping[str, str]) -> str:
    """JSON, in another language and three levels deep; what is refused has no offer."""
    told: dict[str, Any] = {"situacion": "ACEPTADA" if facts["yes"] else "DENEGADA", "recibido": dict(sent)}
    if facts["yes"]:
        told["oferta"] = [{"importe": facts["price"], "ficha": facts["token"], "segundos": facts["duration"]}]
        told["llamada"] = {"destino": {"marcar": facts["number"]}}
    else:
        told["rechazo"] = {"clave": facts["code"], "motivo": facts["reason"]}
    return json.dumps({"respuesta": {"cuerpo": told}})


def in_capitals(call: str, facts: Facts, sent: Mapping[str, str]) -> str:
    """XML in attributes, under a root of each call's own."""
    told = {"flag": "Y" if facts["yes"] else "N", "eco": json.dumps(sent)}
    told |= {"usd": facts["price"], "ref": facts["token"], "secs": facts["duration"], "line": facts["number"]}
    told |= {"why": facts["code"], "text": facts["reason"]}
    inner = "".join(f' {name}="{escape(str(text), {chr(34): "&quot;"})}"' for name, text in told.items() if text)
    return f'<?xml version="1.0"?><{call.upper()}_RS><R{inner}/></{call.upper()}_RS>'


def in_lines(_call: str, facts: Facts, sent: Mapping[str, str]) -> str:
    """Lines of ``key=value``, with the price in dollars and the duration in words."""
    told = {"verdict": "TAKE" if facts["yes"] else "LEAVE", "heard": " ".join(f"{k} {v}" for k, v in sent.items())}
    if facts["price"]:
        told["dollars"] = f"$ {facts['price']}"
    if facts["duration"]:
        told["minimum"] = f"{facts['duration']} seconds"
    told |= {"hold": facts["token"], "dial": facts["number"], "num": facts["code"], "sorry": facts["reason"]}
    return "".join(f"{name}={text}\n" for name, text in told.items() if text)


class Stranger:
    """The server, in a thread of its own. `sold`: what it told of each sale."""

    def __init__(self, write: Write, *, content_type: str = "text/html") -> None:
        self.write, self.content_type = write, content_type
        self.sold: list[Facts] = []
        self._tokens: dict[str, str] = {}
        self._count = itertools.count(1)
        stranger = self

        class Handler(Questioned):
            def answer(self, sent: Mapping[str, str]) -> None:
                call = urlsplit(self.path).path.strip("/")
                body = stranger.write(call, stranger.facts(call, sent), sent).encode()
                self.reply(stranger.content_type, body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def environment(self) -> dict[str, str]:
        """The settings that point at it."""
        url = f"http://127.0.0.1:{self._server.server_port}"
        return {f"PINGPOST_{call.upper()}_URL": f"{url}/{call}" for call in CALLS}

    def facts(self, call: str, sent: Mapping[str, str]) -> Facts:
        """Decide, as the buyer's page says."""
        facts: dict[str, Any] = dict.fromkeys(("price", "token", "duration", "number", "code", "reason"))
        assert sent["key"] == "test_mode"
        count = next(self._count)
        known = call != "post" or self._tokens.pop(sent["token"], None) is not None
        if sent["subid"] != "match" or not known:
            return {**facts, "yes": False, "code": 5000, "reason": "Nobody in this area"}
        facts |= {"yes": True, "price": sent.get("price", f"{count}.50")}
        if call == "ping":
            facts["token"] = token = f"{count:x}f00d{count * 7919:x}beef{count * 104729:x}"
            self._tokens[token] = facts["price"]
        else:
            facts["number"] = NUMBER.format(count)
            self.sold.append(facts)
        if call in ("ping", "one_step"):
            facts["duration"] = 90
        return facts

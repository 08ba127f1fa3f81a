"""What every small buyer of the tests does: reads a call's fields, however they were sent, and keeps quiet."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qsl, urlsplit


class Questioned(BaseHTTPRequestHandler):
    """Hands each call's fields to `answer`, which a buyer brings along."""

    def answer(self, fields: Mapping[str, str]) -> None:
        """Answer a call."""
        raise NotImplementedError

    def do_GET(self) -> None:
        """Read a call that is all in its address."""
        self.answer(dict(parse_qsl(urlsplit(self.path).query)))

    def do_POST(self) -> None:
        """Read a form, or JSON."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        is_json = self.headers["Content-Type"] == "application/json"
        self.answer(json.loads(body) if is_json else dict(parse_qsl(body)))

    def reply(self, content_type: str, body: bytes) -> None:
        """Send an answer."""
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, *_: object) -> None:
        """Keep quiet."""

"""A process's own ``/metrics``, answered by threads of its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from io import StringIO
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from workers.settings import PREFIX, Settings, SettingsError

# A client that sends nothing, or takes nothing, gives its thread back after so long.
CLIENT_S: Final = 10


class _Handler(WSGIRequestHandler):
    """Says nothing: each line of a process is JSON, and a client that hangs up is no news."""

    timeout = CLIENT_S

    def log_message(self, *_: Any) -> None:
        pass

    def get_stderr(self) -> StringIO:
        return StringIO()


class _Server(ThreadingWSGIServer):
    def handle_error(self, *_: Any) -> None:
        pass


class _OverIpv6(_Server):
    address_family = socket.AF_INET6


def serve(settings: Settings, registry: CollectorRegistry) -> Callable[[], None]:
    """Serve metrics where the settings say. Gives what ends that; it does nothing where no port is set.

    Raises:
        SettingsError: the port is taken.
    """
    address, port = settings.metrics_address, settings.metrics_port
    if not port:
        return lambda: None
    kind = _OverIpv6 if ":" in address else _Server
    try:
        server = make_server(address, port, make_wsgi_app(registry), kind, _Handler)
    except OSError as fault:
        why = f"cannot listen on {address}:{port}: {fault.strerror or type(fault).__name__}"
        raise SettingsError(f"{PREFIX}METRICS_PORT: {why}") from None
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return end

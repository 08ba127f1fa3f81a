"""What a run was measured on: the machine, the versions, and how fast the stub itself is."""

from __future__ import annotations

import os
import platform
import re
import shutil
import socket
import sqlite3
import subprocess
import time
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import amqp

from ops.bench.buyer import Buyer, buyer
from ops.bench.servers import Servers

LIBRARIES: Final = (
    "celery",
    "kombu",
    "amqp",
    "requests",
    "urllib3",
    "sqlalchemy",
    "dramatiq",
    "taskiq",
    "taskiq-redis",
)
CONNECTIONS: Final = 32
ASKED: Final = 50_000
_REQUEST: Final = b"POST /ping HTTP/1.1\r\nHost: stub\r\nContent-Length: 0\r\n\r\n"


def described(servers: Servers) -> dict[str, Any]:
    """Give everything as JSON takes it; what is not installed is missing in it."""
    found = {name: version for name in LIBRARIES if (version := _installed(name))}
    programs = {"rabbitmq": _rabbitmq(servers), "redis": _program("redis-server"), "postgresql": _program("postgres")}
    found |= {name: version for name, version in programs.items() if version}
    with buyer() as stub:
        stub_s = stub_speed(stub)
    return {
        "cpu": _model(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        **found,
        "stub answers a second": round(stub_s, -3),
    }


def stub_speed(stub: Buyer, asked: int = ASKED) -> float:
    """Ask a stub so many times over kept connections, and give how many it answered a second."""
    port = int(stub.url.rpartition(":")[2])
    with ExitStack() as stack:
        connections = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(CONNECTIONS)]
        began = time.monotonic()
        for _ in range(asked // CONNECTIONS):
            for connection in connections:
                connection.sendall(_REQUEST)
            for connection in connections:
                connection.recv(4096)
        return asked // CONNECTIONS * CONNECTIONS / (time.monotonic() - began)


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _rabbitmq(servers: Servers) -> str | None:
    if not servers.runs("rabbitmq"):  # only it can tell its version, and starting it takes seconds
        return None
    place = urlsplit(servers.rabbitmq)
    with amqp.Connection(f"{place.hostname}:{place.port}") as connection:
        version = connection.server_properties["version"]
    return version.decode() if isinstance(version, bytes) else str(version)


def _program(name: str) -> str | None:
    if not (path := shutil.which(name)):
        return None
    told = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)  # noqa: S603 - installed
    found = re.search(r"\d+(?:\.\d+)+", told.stdout)
    return found[0] if found else None


def _model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", cpuinfo.read_text(encoding="utf-8")) if cpuinfo.exists() else None
    return found[1] if found else platform.processor() or platform.machine()

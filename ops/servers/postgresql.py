"""A PostgreSQL of one's own: started from installed programs, on loopback and a free port, gone with its owner."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

from ops.servers.own import OwnServer, free_port
from ops.servers.waiting import wait_until

START_S = 30
_INSTALLED = Path("/usr/lib/postgresql")


class NoPostgresql(Exception):
    """There are no programs to start a PostgreSQL from, or they did not start."""


def start_postgresql(
    folder: Path | None = None, *, durable: bool = False, certificate: tuple[Path, Path] | None = None
) -> tuple[str, Callable[[], None]]:
    """Start a cluster of its own in a new folder inside `folder` (default: the system's for temporary files).

    `durable=False` leaves the disk out, which makes tests faster and changes nothing that they can see.
    With a `certificate` (its file and its key's) the server offers TLS.

    Returns:
        The URL as SQLAlchemy takes it, and what stops the server and removes its files.

    Raises:
        NoPostgresql: it is not installed, or does not start; the text says why.
    """
    initdb, postgres = _program("initdb"), _program("postgres")
    own = OwnServer("pg", folder)
    try:
        user = _not_root(own.home)
        options = ("--auth=trust", "--username=pingpost", "--encoding=UTF8", "--locale=C", "--no-sync")
        if own.run([initdb, "-D", own.home / "data", *options], user=user).wait(timeout=START_S):
            raise NoPostgresql(f"initdb: {own.output}")
        tls = _tls(own.home, user, certificate) if certificate else {}
        url, server = _serve(own, postgres, user, durable=durable, more=tls)
    except BaseException:
        own.stop()
        raise

    def stop() -> None:
        server.send_signal(signal.SIGINT)  # "fast": sessions are ended, shared memory is given back
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(timeout=10)
        own.stop()

    return url, stop


@contextmanager
def new_database(url: str) -> Iterator[str]:
    """Make an empty database on the server at `url`, and drop it afterwards with whatever is still connected."""
    name = f"pingpost_{uuid4().hex[:12]}"
    server = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield make_url(url).set(database=name).render_as_string(hide_password=False)
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _tls(home: Path, user: int | None, certificate: tuple[Path, Path]) -> dict[str, str]:
    """Copy a certificate to where the server may read it, and give the settings; it refuses keys that others read."""
    copies = home / "server.pem", home / "server.key"
    for source, copy in zip(certificate, copies, strict=True):
        shutil.copyfile(source, copy)
        copy.chmod(0o600)
        if user is not None:
            os.chown(copy, user, -1)
    return {"ssl": "on", "ssl_cert_file": str(copies[0]), "ssl_key_file": str(copies[1])}


def _serve(
    own: OwnServer, postgres: str, user: int | None, *, durable: bool, more: Mapping[str, str]
) -> tuple[str, subprocess.Popen[bytes]]:
    disk = "on" if durable else "off"
    for _ in range(3):  # a port that was free may be taken before the server has it
        port = free_port()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": str(own.home),
            "max_connections": "200",
            "fsync": disk,
            "full_page_writes": disk,
            "dynamic_shared_memory_type": "mmap",  # a container's /dev/shm may be small
            **more,
        }
        arguments = [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]
        server = own.run([postgres, "-D", own.home / "data", *arguments], user=user)
        url = f"postgresql+psycopg://pingpost@127.0.0.1:{port}/postgres"
        if wait_until(partial(_settled, server, port), within_s=START_S) and server.poll() is None:
            return url, server
        own.kill()
    raise NoPostgresql(f"postgres does not start: {own.output}")


def _settled(server: subprocess.Popen[bytes], port: int) -> bool:
    """Whether the server has ended or answers."""
    if server.poll() is not None:
        return True
    try:
        psycopg.connect(f"host=127.0.0.1 port={port} user=pingpost dbname=postgres", connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _program(name: str) -> str:
    newest_first = sorted(_INSTALLED.glob(f"*/bin/{name}"), key=lambda path: path.parts[-3].zfill(4), reverse=True)
    found = shutil.which(name) or next(map(str, newest_first), None)
    if found is None:
        raise NoPostgresql(f"no PostgreSQL: the program {name} is not installed")
    return found


def _not_root(home: Path) -> int | None:
    """Give the user that the server shall run as, and the folder to them: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        os.chown(home, entry.pw_uid, entry.pw_gid)
        return entry.pw_uid
    raise NoPostgresql("PostgreSQL does not run as root, and there is no user postgres or nobody")

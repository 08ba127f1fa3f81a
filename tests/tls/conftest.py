"""Three servers that speak TLS, and two authorities of which one vouches for them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest
from sqlalchemy.engine import make_url

from ops.servers.own import free_port
from ops.servers.postgresql import NoPostgresql, new_database, start_postgresql
from ops.servers.rabbitmq import NoRabbitmq, start_rabbitmq
from ops.servers.redis import NoRedis, start_redis
from tests.servers.need import missing
from tests.tls.certificates import Authority, found


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the servers speak TLS, and, for those who look on, where they do not."""

    authority: Authority
    stranger: Authority
    rabbitmq_port: int
    redis_port: int
    ledger_url: str
    plain_rabbitmq_url: str
    plain_redis_url: str

    def urls(self, host: str = "localhost", authority: Authority | None = None) -> dict[str, str]:
        """The settings of an installation that uses all three under this host name and trusts this authority."""
        trusted = str((authority or self.authority).file)
        query = urlencode({"ssl_ca_certs": trusted})
        ledger = make_url(self.ledger_url).set(host=host)
        ledger = ledger.update_query_dict({"sslmode": "verify-full", "sslrootcert": trusted})
        return {
            "PINGPOST_BROKER_URL": f"amqps://guest:guest@{host}:{self.rabbitmq_port}//?{query}",
            "PINGPOST_STATE_URL": f"rediss://{host}:{self.redis_port}/0?{query}",
            "PINGPOST_LEDGER_URL": ledger.render_as_string(hide_password=False),
        }


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """RabbitMQ, Redis and PostgreSQL whose certificate is good for `localhost`, and not for 127.0.0.1."""
    home = tmp_path_factory.mktemp("authorities")
    authority, stranger = found(home / "ours"), found(home / "strangers")
    certificate, key = authority.certificate("DNS:localhost")
    with ExitStack() as stack:

        def started(start: Callable[[], tuple[str, Callable[[], None]]]) -> str:
            try:
                url, stop = start()
            except (NoRabbitmq, NoRedis, NoPostgresql) as reason:
                missing(str(reason))
            stack.callback(stop)
            return url

        ports = free_port(), free_port()
        rabbitmq = f"""
            listeners.ssl.1 = 127.0.0.1:{ports[0]}
            ssl_options.cacertfile = {authority.file}
            ssl_options.certfile = {certificate}
            ssl_options.keyfile = {key}
        """
        redis = {
            "tls-port": str(ports[1]),
            "tls-cert-file": str(certificate),
            "tls-key-file": str(key),
            "tls-ca-cert-file": str(authority.file),
            "tls-auth-clients": "no",
        }
        program = shutil.which("redis-server")
        if program is None:
            missing("no redis-server with TLS; the embedded Valkey has none")
        plain_rabbitmq_url = started(lambda: start_rabbitmq(config=rabbitmq))
        plain_redis_url = started(lambda: start_redis(program=Path(program), more=redis))
        postgresql_url = started(lambda: start_postgresql(certificate=(certificate, key)))
        ledger_url = stack.enter_context(new_database(postgresql_url))
        yield Servers(authority, stranger, *ports, ledger_url, plain_rabbitmq_url, plain_redis_url)

"""The services of docker-compose.yml, run by hand: each command starts, its own healthcheck passes, SIGTERM ends it.

Commands, environment and healthchecks are read from the file; only hosts, ports and the folder of the secrets are this
machine's. A process gets the variables that the file gives it, and no other.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import amqp
import psycopg
import pytest
from sqlalchemy.engine import make_url

from ops.servers import rabbitmq as rabbitmq_server
from ops.servers.own import OwnServer, free_port
from ops.servers.postgresql import new_database
from ops.servers.waiting import wait_until
from tests.compose.composefile import ROOT, SECRETS, read, seconds
from tests.integration.upstream import amqp_connection
from tests.servers.need import missing
from workers.server_program import EmbeddedError, find_program

HEALTHY_S = 60
CHECK_S = 30
VENV = Path(sys.executable).parent
# RabbitMQ's own scripts ahead of Debian's, which change the user.
PROGRAMS = "/usr/lib/rabbitmq/bin:/usr/bin:/bin:/usr/sbin:/usr/local/bin"
# What an operator's .env holds; nobody is called.
BUYER = {
    "PINGPOST_PARTNER_ID": "XYZ",
    "PINGPOST_PING_URL": "http://127.0.0.1:9/ping",
    "PINGPOST_POST_URL": "http://127.0.0.1:9/post",
}
SERVICES: dict[str, dict[str, Any]] = read(BUYER)["services"]
LASTING = ("intake", "worker", "worker-post", "beat", "flower")


@dataclass(frozen=True)
class Node:
    """A RabbitMQ, and the environment in which its own tools find it."""

    url: str
    environment: Mapping[str, str]


@dataclass
class Machine:
    """This machine in the place of a container: folders, and what stands for hosts and ports."""

    secrets: Path
    environment: dict[str, str] = field(default_factory=dict)

    def here(self, text: str) -> str:
        """Translate a path of a container's."""
        return text.replace(SECRETS, f"{self.secrets}/")

    def environment_of(self, service: Mapping[str, Any]) -> dict[str, str]:
        """Give what the service gets, and what an image and an engine would add."""
        given = {name: self.here(str(value)) for name, value in service["environment"].items()}
        return {"PATH": f"{VENV}:{PROGRAMS}", "HOME": str(self.secrets), **given, **self.environment}

    def command_of(self, service: Mapping[str, Any]) -> list[str]:
        """Give its command."""
        return [self.here(word) for word in service["command"]]

    def check(self, service: Mapping[str, Any], cwd: Path, **changed: str) -> subprocess.CompletedProcess[str]:
        """Run its healthcheck once, as the engine does; `changed` are words of it that differ here."""
        kind, *words = service["healthcheck"]["test"]
        words = [self.here(word) for word in words]
        for word, here in changed.items():
            words = [part.replace(word.replace("_", "-"), here) for part in words]
        argv = ["/bin/sh", "-c", *words] if kind == "CMD-SHELL" else words
        return subprocess.run(
            argv,
            cwd=cwd,
            env=self.environment_of(service),
            capture_output=True,
            text=True,
            timeout=CHECK_S,
            check=False,
        )


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The secrets as the script makes them."""
    folder = tmp_path_factory.mktemp("compose") / "secrets"
    subprocess.run(["bash", str(ROOT / "ops/docker/make-secrets.sh"), str(folder)], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def node(secrets: Path) -> Iterator[Node]:
    """A RabbitMQ with the configuration that the file mounts."""
    environments: list[Mapping[str, str]] = []

    class Watched(OwnServer):
        def run(self, *arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
            environments.append(options["env"])
            return super().run(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rabbitmq_server, "OwnServer", Watched)
        configuration = (ROOT / "ops/docker/rabbitmq.conf").read_text().replace("1GB", "50MB")
        configuration = configuration.replace(
            "/etc/rabbitmq/definitions.json", str(secrets / "rabbitmq_definitions.json")
        )
        # A node of the tests' own is ready when its usual user gets in.
        definitions = json.loads((secrets / "rabbitmq_definitions.json").read_text())
        definitions["users"].append({"name": "guest", "password": "guest", "tags": ""})
        definitions["permissions"].append({**definitions["permissions"][0], "user": "guest"})
        (secrets / "rabbitmq_definitions.json").write_text(json.dumps(definitions))
        try:
            url, stop = rabbitmq_server.start_rabbitmq(config=configuration)
        except rabbitmq_server.NoRabbitmq as reason:
            missing(str(reason))
    yield Node(url, environments[-1])
    stop()


@pytest.fixture(scope="module")
def valkey(secrets: Path) -> Iterator[int]:
    """A server started by the file's own command; gives its port."""
    try:
        program = find_program().path
    except EmbeddedError as none:
        missing(str(none))
    own = OwnServer("compose-valkey")
    port = free_port()
    machine = Machine(secrets)
    command = [str(program) if word == "valkey-server" else word for word in machine.command_of(SERVICES["valkey"])]
    command[command.index("/data")] = str(own.home)
    own.run([*command, "--port", str(port), "--bind", "127.0.0.1"])
    yield port
    own.stop()


@pytest.fixture(scope="module")
def machine(secrets: Path, node: Node, valkey: int, postgresql_url: str) -> Iterator[Machine]:
    """A machine on which the secrets lead to servers of its own, and the ledger is migrated by the file's command."""
    with new_database(postgresql_url) as ledger_url:
        for name in ("broker_url", "producer_url"):
            url = (secrets / name).read_text()
            (secrets / name).write_text(url.replace("rabbitmq:5672", node.url.rpartition("@")[2].rstrip("/")))
        (secrets / "ledger_owner_url").write_text(ledger_url)
        (secrets / "ledger_url").write_text(as_running_role(secrets, ledger_url))
        state_url = (secrets / "state_url").read_text()
        (secrets / "state_url").write_text(state_url.replace("valkey:6379", f"127.0.0.1:{valkey}"))
        machine = Machine(secrets)
        migrate = SERVICES["migrate"]
        subprocess.run(
            machine.command_of(migrate), env=machine.environment_of(migrate), cwd=secrets, check=True, timeout=HEALTHY_S
        )
        yield machine


def as_running_role(secrets: Path, owner_url: str) -> str:
    """Make the running role in a database, by the script that PostgreSQL's image runs; give its URL."""
    url = make_url(owner_url)
    environment = {
        "PATH": PROGRAMS,
        "PGHOST": str(url.host),
        "PGPORT": str(url.port),
        "POSTGRES_USER": str(url.username),
        "POSTGRES_DB": str(url.database),
        "POSTGRES_RUN_PASSWORD_FILE": str(secrets / "postgres_run_password"),
    }
    # `bash` by name, as the image does with a script that is not executable.
    script = str(ROOT / "ops/docker/roles.sh")
    subprocess.run(["bash", script], env=environment, check=True, capture_output=True, timeout=HEALTHY_S)
    password = (secrets / "postgres_run_password").read_text().strip()
    return url.set(username="pingpost_run", password=password).render_as_string(hide_password=False)


@pytest.fixture
def start(machine: Machine, tmp_path: Path) -> Iterator[Callable[[str], tuple[subprocess.Popen[bytes], OwnServer]]]:
    """Start a service by name."""
    own = OwnServer("compose", tmp_path)
    (tmp_path / "data").mkdir(mode=0o700)  # in a container, the tmpfs
    machine.environment = {
        "PINGPOST_DATA": str(tmp_path / "data"),
        "FLOWER_ADDRESS": "127.0.0.1",
        "FLOWER_PORT": str(free_port()),
        "PINGPOST_METRICS_PORT": str(free_port()),
    }

    def run(name: str) -> tuple[subprocess.Popen[bytes], OwnServer]:
        service = SERVICES[name]
        return own.run(machine.command_of(service), env=machine.environment_of(service)), own

    yield run
    own.stop()


@pytest.mark.rabbitmq
@pytest.mark.postgresql
@pytest.mark.parametrize("name", LASTING)
def test_a_part_becomes_healthy_by_its_own_check_and_ends_on_sigterm_in_its_time(
    name: str, start: Callable[[str], tuple[subprocess.Popen[bytes], OwnServer]], machine: Machine, tmp_path: Path
):
    service = SERVICES[name]
    assert machine.check(service, tmp_path).returncode != 0, "healthy before it runs"
    process, own = start(name)

    def settled() -> bool:
        return process.poll() is not None or machine.check(service, tmp_path).returncode == 0

    assert wait_until(settled, within_s=HEALTHY_S, every_s=0.2), own.output
    assert process.poll() is None, own.output
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=seconds(service["stop_grace_period"])) == 0, own.output


@pytest.mark.rabbitmq
@pytest.mark.postgresql
def test_each_selling_part_refuses_to_start_without_what_the_buyer_gives(machine: Machine, tmp_path: Path):
    machine.environment = {"PINGPOST_DATA": str(tmp_path / "data"), "PINGPOST_PARTNER_ID": ""}
    for name in ("intake", "worker", "worker-post"):
        command, environment = machine.command_of(SERVICES[name]), machine.environment_of(SERVICES[name])
        ended = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=HEALTHY_S, check=False
        )
        assert ended.returncode == 2, name
        assert "PINGPOST_PARTNER_ID" in ended.stderr, name


@pytest.mark.rabbitmq
def test_rabbitmqs_check_passes_on_a_server_and_fails_without_one(node: Node, secrets: Path, tmp_path: Path):
    if not shutil.which("rabbitmq-diagnostics", path=PROGRAMS):
        missing("no rabbitmq-diagnostics")
    there = {name: value for name, value in node.environment.items() if name.startswith(("RABBITMQ_", "ERL_"))}
    machine = Machine(secrets, {**there, "HOME": node.environment["HOME"]})
    passed = machine.check(SERVICES["rabbitmq"], tmp_path)
    assert passed.returncode == 0, passed.stdout + passed.stderr
    machine.environment["RABBITMQ_NODENAME"] = "nobody@localhost"
    assert machine.check(SERVICES["rabbitmq"], tmp_path).returncode != 0


def test_valkeys_check_passes_with_the_password_of_its_file_and_fails_with_another(
    secrets: Path, valkey: int, tmp_path: Path
):
    client = shutil.which("valkey-cli") or shutil.which("redis-cli")
    if client is None:
        missing("neither valkey-cli nor redis-cli")
    here = {"valkey_cli": f"{client} -p {valkey}"}
    assert wait_until(
        lambda: Machine(secrets).check(SERVICES["valkey"], tmp_path, **here).returncode == 0, within_s=CHECK_S
    )
    others = tmp_path / "secrets"
    others.mkdir()
    (others / "valkey.conf").write_text("requirepass another\n")
    assert Machine(others).check(SERVICES["valkey"], tmp_path, **here).returncode != 0


@pytest.mark.postgresql
def test_postgresqls_check_passes_on_a_server_and_fails_without_one(secrets: Path, postgresql_url: str, tmp_path: Path):
    if not shutil.which("pg_isready"):
        missing("no pg_isready")
    port = make_url(postgresql_url).port or urlsplit(postgresql_url).port
    assert Machine(secrets).check(SERVICES["postgres"], tmp_path, **{"5432": str(port)}).returncode == 0
    assert Machine(secrets).check(SERVICES["postgres"], tmp_path, **{"5432": str(free_port())}).returncode != 0


@pytest.mark.rabbitmq
@pytest.mark.postgresql
@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE leads",
        "ALTER TABLE leads ADD COLUMN more text",
        "TRUNCATE attempts",
        "CREATE TABLE more (id int)",
        "CREATE TEMPORARY TABLE more (id int)",
        "CREATE ROLE more",
        "COPY leads TO PROGRAM 'true'",
    ],
)
def test_the_running_role_writes_rows_and_changes_no_table(machine: Machine, statement: str):
    """Whoever takes a worker over has the rows, and neither the tables nor the server."""
    url = make_url((machine.secrets / "ledger_url").read_text()).set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("pingpost_run",)
        connection.execute("INSERT INTO refusals (lead_id, at, reason) VALUES ('r', 0, '')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)  # type: ignore[call-overload]  # it wants literals; these are, one by one


@pytest.mark.rabbitmq
@pytest.mark.postgresql
def test_a_producer_sends_leads_and_calls_and_reads_outcomes_and_nothing_else(machine: Machine):
    """Its own queues, bound to `outcomes`, are all that it reads; leads of others, tasks and dead letters are not."""
    with amqp_connection((machine.secrets / "broker_url").read_text().strip()) as ours:
        channel = ours.channel()
        channel.exchange_declare("outcomes", "topic", durable=True, auto_delete=False)
        for queue in ("leads", "calls"):
            channel.queue_declare(queue, durable=True, auto_delete=False)
        with amqp_connection((machine.secrets / "producer_url").read_text().strip()) as theirs:
            own = theirs.channel()
            own.queue_declare("producer.replies", exclusive=True)
            own.queue_bind("producer.replies", "outcomes", "outcome.*")
            for queue in ("leads", "calls"):
                own.queue_declare(queue, durable=True, auto_delete=False)
                own.basic_publish_confirm(amqp.Message(b"{}"), routing_key=queue)
                assert channel.basic_get(queue, no_ack=True) is not None
            for queue in ("leads", "leads.dead", "dead", "ping", "post", "calls"):
                with pytest.raises(amqp.AccessRefused):
                    theirs.channel().basic_get(queue)
            for refused in (
                lambda: theirs.channel().queue_delete("leads.dead"),
                lambda: theirs.channel().queue_purge("leads"),
                lambda: theirs.channel().exchange_delete("outcomes"),
                lambda: theirs.channel().queue_declare("mine"),
            ):
                with pytest.raises(amqp.AccessRefused):
                    refused()
        for queue in ("leads", "calls"):
            channel.queue_delete(queue)

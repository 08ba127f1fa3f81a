"""A RabbitMQ of one's own: a node that shares nothing with one that the machine may run already."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import amqp

from ops.servers.own import OwnServer, free_port, is_taken
from ops.servers.waiting import wait_until

START_S = 60
# The script on the PATH is Debian's, which changes the user and the place of the logs: the server's own comes first.
_SCRIPTS = ("/usr/lib/rabbitmq/bin/rabbitmq-server", "/opt/homebrew/sbin/rabbitmq-server")


class NoRabbitmq(Exception):
    """There is no RabbitMQ to start, or it did not start."""


def start_rabbitmq(folder: Path | None = None, *, config: str = "") -> tuple[str, Callable[[], None]]:
    """Start a node of its own in a new folder inside `folder` (default: the system's for temporary files).

    `config` is added to its rabbitmq.conf. Its name, its ports, its name server (epmd), its cookie, its data and its
    logs are its own, and all that listens does so on loopback.

    Returns:
        The AMQP URL, and what stops the node and removes its files.

    Raises:
        NoRabbitmq: it is not installed, or does not start; the text says why.
    """
    script = next((path for path in _SCRIPTS if Path(path).is_file()), None) or shutil.which("rabbitmq-server")
    epmd = shutil.which("epmd")
    if script is None or epmd is None:
        raise NoRabbitmq("no RabbitMQ: the programs rabbitmq-server and epmd are not installed")
    own = OwnServer("rmq", folder)
    try:
        for _ in range(3):  # a port that was free may be taken before the node has it
            port, environment = _environment(own.home, config)
            if _serve(own, script, epmd, port, environment):
                return f"amqp://guest:guest@127.0.0.1:{port}//", partial(_stop, own, port)
            own.kill()
        raise NoRabbitmq(f"rabbitmq-server does not start: {own.output}")
    except BaseException:
        own.stop()
        raise


def _serve(own: OwnServer, script: str, epmd: str, port: int, environment: Mapping[str, str]) -> bool:
    # Erlang would start its name server as a daemon that outlives the node and serves the whole machine.
    own.run([epmd, "-address", "127.0.0.1", "-port", environment["ERL_EPMD_PORT"]], env=environment)
    node = own.run([script], env=environment)
    wait_until(lambda: node.poll() is not None or _answers(port), within_s=START_S, every_s=0.1)
    return node.poll() is None and _answers(port)


def _stop(own: OwnServer, port: int) -> None:
    # What such a node has on disk nobody reads again: it is not asked to end, which would take seconds. The node itself
    # is the script's child and not ours to wait for, so its port tells when it is gone.
    own.kill()
    wait_until(lambda: not is_taken(port), within_s=10)
    own.stop()


def _environment(home: Path, config: str) -> tuple[int, Mapping[str, str]]:
    port = free_port()
    settings = home / "rabbitmq.conf"
    settings.write_text(f"listeners.tcp.1 = 127.0.0.1:{port}\ndisk_free_limit.absolute = 50MB\n{config}\n")
    (home / "enabled_plugins").write_text("[].\n")
    cookie = home / ".erlang.cookie"
    if not cookie.exists():
        cookie.touch(mode=0o600)
        cookie.write_text(secrets.token_hex(16))
        cookie.chmod(0o400)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RABBITMQ_", "ERL_"))}
    return port, {
        **inherited,
        "HOME": str(home),
        "ERL_EPMD_PORT": str(free_port()),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": f"pingpost-{port}@localhost",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_CONFIG_FILE": str(settings),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "advanced.config"),
        "RABBITMQ_CONF_ENV_FILE": str(home / "rabbitmq-env.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
    }


def _answers(port: int) -> bool:
    try:
        with amqp.Connection(f"127.0.0.1:{port}", connect_timeout=2, read_timeout=5):
            return True
    except (OSError, amqp.AMQPError):
        return False

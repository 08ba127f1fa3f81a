"""The parts of a ``pingpost up``: which processes it runs, with which arguments, in which order they stop."""

from __future__ import annotations

import hashlib
import http.client
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tasks.steps import LEDGER_PATIENCE_S
from workers.embedded import Embedded
from workers.part import Part
from workers.places import Places
from workers.ports import LOOPBACK
from workers.settings import PREFIX, Settings

# The front door closes first, so that nothing new comes in; nobody sends housekeeping after a worker that is leaving;
# workers finish the calls that they are in; who looks on and who carries messages go last.
INTAKE, BEAT, WORKERS, FLOWER, SERVERS = range(5)

_CELERY = (sys.executable, "-m", "celery", "-A", "workers")
# Workers of one machine have nothing to tell each other: who is there is known, and looking for others takes a second.
_ALONE = ("--without-mingle", "--without-gossip")


@dataclass(frozen=True, slots=True)
class Choice:
    """What the operator chose: workers for pings and the rest, workers for posts, threads of each, Flower's port.

    Without workers for posts alone, those for pings take posts too.
    """

    workers: int = 1
    posts: int = 1
    concurrency: int | None = None
    flower_port: int | None = None

    @property
    def flower_url(self) -> str | None:
        """Where Flower is, or None without one."""
        return None if self.flower_port is None else f"http://{LOOPBACK}:{self.flower_port}"


def server(name: str, embedded: Embedded) -> Part:
    """Give the part that runs an embedded server, which has been claimed."""
    return Part(
        name,
        embedded.argv,
        ready_probe=embedded.answers,
        before_start=embedded.prepare,
        ask_to_end=embedded.shut_down,
        pass_fds=(embedded.lock,),
        stop_rank=SERVERS,
    )


def lineup(settings: Settings, places: Places, choice: Choice) -> tuple[Part, ...]:
    """Give all parts but the embedded servers. URLs go by the environment: arguments are everyone's to read."""
    data = settings.data.resolve()
    env = _environment(data, places, choice)
    # The longest call that a worker may be in when it is asked to end, and its patience with a ledger that is away: it
    # may hold a sale. One that holds nothing ends at once.
    grace_s = settings.connect_timeout_s + max(settings.ping_timeout_s, settings.post_timeout_s) + LEDGER_PATIENCE_S + 5
    ports = metrics_ports(settings, choice)

    def its(name: str) -> dict[str, str]:
        return {**env, f"{PREFIX}METRICS_PORT": str(ports.get(name, 0))}

    parts = [
        Part(
            name,
            (*_CELERY, "worker", "-n", f"{name}.{_mark(data)}@%h", "-Q", queues, *_ALONE),
            its(name),
            ready_event="worker.ready",
            stop_rank=WORKERS,
            grace_s=grace_s,
        )
        for name, queues in _nodes(choice).items()
    ]
    parts.append(
        Part(
            "intake",
            (sys.executable, "-m", "workers.cli", "intake"),
            its("intake"),
            ready_event="intake.ready",
            stop_rank=INTAKE,
        )
    )
    parts.append(
        Part(
            "beat",
            (*_CELERY, "beat"),
            its("beat"),
            ready_event="beat.ready",
            stop_rank=BEAT,
        )
    )
    if choice.flower_port is not None:
        parts.append(_flower(env, choice.flower_port))
    return tuple(parts)


def metrics_ports(settings: Settings, choice: Choice) -> dict[str, int]:
    """Give the port on which each part serves its metrics, from the setting's on; none where it is 0."""
    if not settings.metrics_port:
        return {}
    return {name: settings.metrics_port + place for place, name in enumerate(("intake", "beat", *_nodes(choice)))}


def _nodes(choice: Choice) -> dict[str, str]:
    """Give the workers, each with the queues that it takes from."""
    queues = "ping,upkeep" if choice.posts else "ping,post,upkeep"
    pings = {f"ping{number + 1}": queues for number in range(choice.workers)}
    return pings | {f"post{number + 1}": "post" for number in range(choice.posts)}


def _flower(env: dict[str, str], port: int) -> Part:
    own = {**env, "FLOWER_ADDRESS": LOOPBACK, "FLOWER_PORT": str(port)}
    argv = (sys.executable, "-m", "celery", "--quiet", "-A", "workers", "flower")  # where it is, `up.ready` says
    return Part("flower", argv, own, ready_probe=_serves(port), stop_rank=FLOWER, grace_s=5)


def _environment(data: Path, places: Places, choice: Choice) -> dict[str, str]:
    env = {
        **places.environment(),
        f"{PREFIX}DATA": str(data),
        # Our own pipe reads their lines, whatever we ourselves write to.
        f"{PREFIX}LOG_FORMAT": "json",
        "PYTHONUNBUFFERED": "1",
    }
    if choice.flower_port is None:
        env[f"{PREFIX}TASK_EVENTS"] = "false"  # nobody is there to watch; a Flower that comes later turns them on
    if choice.concurrency is not None:
        env[f"{PREFIX}CONCURRENCY"] = str(choice.concurrency)
    return env


def _mark(data: Path) -> str:
    """Tell the nodes of two data folders apart that meet on one broker; the same at every start."""
    return hashlib.sha256(str(data).encode()).hexdigest()[:4]


def _serves(port: int) -> Callable[[], bool]:
    def probe() -> bool:
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=2)
        try:
            connection.request("GET", "/healthcheck")
            return connection.getresponse().status < 500  # under a FLOWER_URL_PREFIX, a page that is not found
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return probe

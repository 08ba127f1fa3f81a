"""The Celery application: ``celery -A workers worker|beat|flower`` works with no further flags.

It only builds the app. What tasks do is in `tasks`, what they need is built in `workers.services`.
"""

from __future__ import annotations

import math
import os
import sys
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import structlog
from celery import Celery, signals
from kombu.exceptions import OperationalError

from ops.flower import environment as flower
from tasks import direct_post, one_step, ping, post, upkeep
from tasks.away import BROKER_AWAY, why_broker_away
from tasks.carrying import Link
from tasks.ledger import LedgerError
from tasks.services import Services
from workers import health
from workers import logging as lines
from workers.broker import length
from workers.metrics import serve
from workers.places import resolve
from workers.schedule import SCHEDULE
from workers.services import Wiring
from workers.settings import Settings, SettingsError, load
from workers.tls import apart
from workers.topology import PING, POST, REASON_HEADER, UPKEEP, dead, dead_letters, task_queues
from workers.transport import register, transport_options
from workers.worker import say_once

log = structlog.stdlib.get_logger()

LONGEST_COUNTDOWN_S: Final = 30.0
CONFIRM_S: Final = 5
# What a chain gives its links. Whatever else somebody asks for is Celery's own publishing to see to.
PLAIN: Final = frozenset({"task_id", "chain", "parent_id", "root_id", "reply_to"})
ROUTES: Final = {
    ping.ping.name: {"queue": PING},
    post.post.name: {"queue": POST},
    one_step.one_step.name: {"queue": POST},
    direct_post.direct_post.name: {"queue": POST},
    upkeep.sweep.name: {"queue": UPKEEP},
    upkeep.reset_caps.name: {"queue": UPKEEP},
    upkeep.forget.name: {"queue": UPKEEP},
}


class PingPost(Celery):
    """Celery with this product's services; each process builds them once, when it first needs them."""

    settings: Settings

    @cached_property
    def Worker(self) -> Any:  # noqa: N802 - Celery's name
        """Give the class behind ``celery worker``."""
        return self.subclass_with_self("workers.worker:Worker")

    @cached_property
    def Beat(self) -> Any:  # noqa: N802 - Celery's name
        """Give the class behind ``celery beat``."""
        return self.subclass_with_self("workers.beat:Beat")

    @cached_property
    def wiring(self) -> Wiring:
        """Everything that this process uses."""
        return Wiring(self.settings)

    @property
    def services(self) -> Services:
        """What a step needs."""
        return self.wiring.services

    @property
    def posts_at_once(self) -> bool:
        """Whether a worker that has a bid goes straight on to the post (`tasks.carrying`)."""
        return self.settings.post_by == "ping"

    def publish(self, link: Link) -> bool:
        """Publish a task the quick way. False: it cannot be so with these options.

        Raises:
            OperationalError: the broker is away, as Celery says it.
        """
        if not PLAIN.issuperset(link.options):
            return False
        try:
            self.wiring.starter.publish(link)
        except BROKER_AWAY as away:
            raise OperationalError(type(away).__name__) from away
        return True

    def send_task(self, *arguments: Any, **options: Any) -> Any:
        """Publish a task. A broker under alarm takes what is sent and confirms nothing: nobody waits for ever."""
        options.setdefault("confirm_timeout", CONFIRM_S)
        with self.wiring.broker.watch(why_broker_away):
            return super().send_task(*arguments, **options)

    def countdown(self, seconds: float) -> float:
        """Give a delay as the broker can keep it: quorum queues delay by whole seconds."""
        seconds = min(seconds, LONGEST_COUNTDOWN_S)
        return max(1, math.ceil(seconds)) if self.settings.queue_type == "quorum" else seconds

    def backlog(self) -> int:
        """Count the messages that wait for a worker to take a step.

        Raises:
            kombu.exceptions.OperationalError, OSError: the broker is away.
        """
        with self.wiring.broker.watch(why_broker_away), self.connection_for_write() as connection:
            return sum(length(connection, queue) for queue in (PING, POST))

    def bury(self, task: str, lead_id: str, cause: str) -> None:
        """Put a task that a fault of ours broke with the dead letters, its cause in the headers."""
        headers = {REASON_HEADER: cause, "x-task": task}
        self._bury({"task": task, "lead_id": lead_id}, headers=headers, serializer="json")

    def bury_message(self, message: Any, reason: str) -> None:
        """Put a message that is no task with the dead letters: its body as it came, and why.

        Raises:
            BROKER_AWAY: it may have been put there.
        """
        content_type = message.content_type if isinstance(message.content_type, str) else None
        body = message.body.encode("utf-8", "surrogatepass") if isinstance(message.body, str) else bytes(message.body)
        self._bury(
            body,
            headers={REASON_HEADER: reason},
            content_type=content_type or "application/octet-stream",
            content_encoding="binary",
        )

    def _bury(self, body: Any, **options: Any) -> None:
        with self.wiring.broker.watch(why_broker_away), self.producer_or_acquire() as producer:
            producer.publish(
                body,
                exchange=dead_letters,
                declare=[dead],
                delivery_mode=2,
                confirm_timeout=CONFIRM_S,
                retry=True,
                retry_policy={"max_retries": 3, "interval_start": 0.2},
                **options,
            )


def build(settings: Settings) -> PingPost:
    """Build the application of these settings.

    Raises:
        SettingsError: naming the variable.
    """
    places = resolve(settings)
    register()
    settings.data.mkdir(parents=True, exist_ok=True)
    app = PingPost("pingpost")
    app.settings = settings
    app.conf.update(configuration(settings, places.broker_url))
    app.steps["worker"].add("workers.worker:OneCpu")
    app.steps["consumer"].add("workers.worker:Topology")
    return app


def configuration(settings: Settings, broker_url: str) -> dict[str, Any]:
    """Give Celery's configuration. Each value that is not Celery's own answers something in ops/architecture.md."""
    url, tls = apart(broker_url)
    return {
        "broker_url": url,
        "broker_use_ssl": tls or False,
        "broker_transport_options": transport_options(broker_url, settings.concurrency),
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_pool_limit": settings.concurrency + 4,
        "broker_heartbeat": 10,
        "task_queues": task_queues(settings.queue_type),
        "task_routes": ROUTES,
        "task_default_queue": UPKEEP,
        "task_create_missing_queues": False,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_ignore_result": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_publish_retry_policy": {
            "max_retries": 5,
            "interval_start": 0.05,
            "interval_step": 0.2,
            "interval_max": 1,
        },
        # A second confirmed publish a task, which would only tell Flower what "received" tells it a moment later.
        "task_send_sent_event": False,
        # Whoever watches and comes later (Flower, `celery control enable_events`) turns them on.
        "worker_send_task_events": settings.task_events,
        "worker_pool": "workers.pool:TaskPool",
        "worker_consumer": "workers.consumer:Consumer",
        "worker_concurrency": settings.concurrency,
        "worker_prefetch_multiplier": 1,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # After a loss of the broker Celery would raise the prefetch count again with each task that ends, from that
        # task's thread: two threads then read one connection, which breaks it anew, or leaves the worker deaf.
        "worker_enable_prefetch_count_reduction": False,
        "worker_detect_quorum_queues": True,
        "enable_utc": True,
        "timezone": "UTC",
        "beat_schedule": SCHEDULE,
        "beat_scheduler": "workers.beat:Scheduler",
        "beat_schedule_filename": str(_beat_file(settings.data)),
        "beat_max_loop_interval": 1,
    }


def _beat_file(data: Path) -> Path:
    return data / "celerybeat-schedule"


@signals.setup_logging.connect
def _set_logging_up(**_: Any) -> None:
    lines.configure(app.settings, app.wiring.counts.line)
    say_once(app.wiring.broker)


@signals.worker_init.connect
def _before_the_worker_starts(**_: Any) -> None:
    """Refuse bad settings before the first task is taken, and tell a forgetful store which gates are closed."""
    try:
        app.settings.require_credentials()
        app.wiring.require_endpoints()
        app.services  # noqa: B018 - built now, so that what is wrong with it stops the start
        serve(app.settings, app.wiring.counts.registry("worker"))
    except SettingsError as wrong:
        _refuse(wrong)
    with suppress(LedgerError):  # beat does it again
        app.wiring.gates.reset()


@signals.worker_ready.connect
def _worker_is_ready(sender: Any, **_: Any) -> None:
    log.info("worker.ready", worker=sender.hostname, queues=sorted(queue.name for queue in sender.task_consumer.queues))


@signals.worker_shutdown.connect
def _the_worker_ends(**_: Any) -> None:
    app.wiring.close()


@signals.heartbeat_sent.connect
def _worker_is_alive(sender: Any, **_: Any) -> None:
    health.touch(app.settings.data, f"worker-{sender.eventer.hostname}")


@signals.beat_init.connect
def _beat_is_ready(**_: Any) -> None:
    try:
        serve(app.settings, app.wiring.counts.registry("beat"))
    except SettingsError as wrong:
        _refuse(wrong)
    log.info("beat.ready")


def _refuse(wrong: SettingsError) -> None:
    sys.stderr.write(f"pingpost: {wrong}\n")
    raise SystemExit(2)


def _load() -> PingPost:
    try:
        if "flower" in sys.argv[1:]:  # it reads its options after the app is here
            flower.prepare(os.environ)
        return build(load())
    except SettingsError as wrong:
        _refuse(wrong)
        raise


app = _load()

"""What a worker tells Flower, and whoever else hears the broker's events, of a task that a fault of ours broke."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker

from tasks.base import Step
from tasks.carrying import Link
from tasks.services import Services
from tests.faults.stand_ins import arrive, standing_in, state
from tests.integration.installation import IDENTITY, wait_for

WITHIN_S = 20


class App(Celery):
    """What a step asks of its application."""

    services: Services
    posts_at_once = False

    def publish(self, _link: Link) -> bool:
        """Leave it to Celery."""
        return False

    def bury(self, task: str, lead_id: str, cause: str) -> None:
        """Keep no dead letters."""


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    with standing_in(tmp_path) as made:
        yield made


def test_of_a_fault_it_tells_what_broke_and_where_and_nothing_of_the_error_s_text(redis_url: str, services: Services):
    """The text, and the traceback that ends with it, may hold a caller."""
    app = App("faults", broker=redis_url, set_as_current=False)
    app.services = services
    app.conf.update(task_default_queue="faults", worker_send_task_events=True)

    @app.task(bind=True, base=Step, name="faulty")  # `ping` is shared: every app has it
    def faulty(_: Step, lead_id: str) -> None:
        raise ValueError(f"{lead_id} is {' '.join(IDENTITY)}")

    arrive(services, "s-1")
    heard: list[dict[str, Any]] = []
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": heard.append})
        listening = threading.Event()
        receiver.on_consume_ready = lambda *_, **__: listening.set()
        ear = threading.Thread(target=lambda: receiver.capture(limit=None, timeout=None, wakeup=False), daemon=True)
        ear.start()
        assert listening.wait(WITHIN_S)
        with start_worker(app, pool="threads", perform_ping_check=False):
            faulty.delay("s-1")
            failed = wait_for(lambda: next((it for it in heard if it["type"] == "task-failed"), None), WITHIN_S)
        receiver.should_stop = True
        ear.join(WITHIN_S)

    assert failed["exception"].startswith("ValueError in faulty:")
    assert failed["traceback"] is None
    assert [word for word in IDENTITY if word in json.dumps(heard, default=str)] == []
    assert state(services, "s-1") == "failed"

"""Celery's beat: without its banner off a terminal, and with a heartbeat."""

from __future__ import annotations

import sys
from typing import Any

from celery.apps.beat import Beat as CelerysBeat
from celery.beat import PersistentScheduler

from workers import health


class Beat(CelerysBeat):
    """Celery's beat. Where standard output is no terminal, every line of it is JSON: there is no banner."""

    def __init__(self, *, quiet: bool = False, **options: Any) -> None:
        super().__init__(quiet=quiet or not sys.stdout.isatty(), **options)


class Scheduler(PersistentScheduler):
    """Celery's scheduler, which says at each tick that it is alive."""

    def tick(self, *arguments: Any, **options: Any) -> float:
        """Send what is due, and give the seconds until the next tick."""
        health.touch(self.app.settings.data, "beat")
        wait: float = super().tick(*arguments, **options)
        return wait

    def apply_async(self, entry: Any, *arguments: Any, **options: Any) -> Any:
        """Send a task that is due, and count it once it is sent."""
        sent = super().apply_async(entry, *arguments, **options)
        self.app.wiring.counts.sent(entry.task)
        return sent

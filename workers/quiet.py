"""Celery's worker and beat without their banners where standard output is no terminal: there, every line is JSON."""

from __future__ import annotations

import sys
from typing import Any

from celery.apps.beat import Beat as CelerysBeat
from celery.apps.worker import Worker as CelerysWorker


class Worker(CelerysWorker):
    """Celery's worker."""

    def on_before_init(self, quiet: bool = False, **options: Any) -> None:
        """Keep quiet off a terminal."""
        super().on_before_init(quiet=quiet or not sys.stdout.isatty(), **options)


class Beat(CelerysBeat):
    """Celery's beat."""

    def __init__(self, *, quiet: bool = False, **options: Any) -> None:
        super().__init__(quiet=quiet or not sys.stdout.isatty(), **options)

"""Celery's worker: without its banner off a terminal."""

from __future__ import annotations

import sys
from typing import Any

from celery.apps.worker import Worker as CelerysWorker


class Worker(CelerysWorker):
    """Celery's worker. Where standard output is no terminal, every line of it is JSON: there is no banner."""

    def on_before_init(self, quiet: bool = False, **options: Any) -> None:
        """Keep quiet off a terminal."""
        super().on_before_init(quiet=quiet or not sys.stdout.isatty(), **options)

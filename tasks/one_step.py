"""One-step: bid and sale in a single call."""

from __future__ import annotations

from celery import shared_task

from tasks.base import Step
from tasks.core.protocol import Call


@shared_task(bind=True, base=Step, name="one_step")
def one_step(self: Step, lead_id: str) -> str | None:
    """One-step: bid and sale in a single call."""
    return self.follow(Call.ONE_STEP, lead_id)

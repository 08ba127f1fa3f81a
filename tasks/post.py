"""Post: sell a lead against the token of its bid."""

from __future__ import annotations

from celery import shared_task

from tasks.base import Step
from tasks.core.protocol import Call


@shared_task(bind=True, base=Step, name="post")
def post(self: Step, lead_id: str) -> str | None:
    """Post: sell a lead against the token of its bid."""
    return self.follow(Call.POST, lead_id)

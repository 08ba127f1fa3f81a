"""Direct post: sell a lead at an agreed price, without a ping."""

from __future__ import annotations

from celery import shared_task

from tasks.base import Step
from tasks.core.protocol import Call


@shared_task(bind=True, base=Step, name="direct_post")
def direct_post(self: Step, lead_id: str) -> str | None:
    """Direct post: sell a lead at an agreed price, without a ping."""
    return self.follow(Call.DIRECT_POST, lead_id)

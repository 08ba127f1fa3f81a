"""Ping: offer a lead without the caller's identity, for a bid."""

from __future__ import annotations

from celery import shared_task

from tasks.base import Step
from tasks.core.protocol import Call


@shared_task(bind=True, base=Step, name="ping")
def ping(self: Step, lead_id: str) -> str | None:
    """Ping: offer a lead without the caller's identity, for a bid."""
    return self.follow(Call.PING, lead_id)

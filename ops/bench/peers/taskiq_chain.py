"""taskiq on a Redis stream, which acknowledges: ping's task kicks post's, calls by aiohttp.

taskiq-redis' README (Stream, "fine to use in cases when data durability is required"), and State and Dependencies in
taskiq's guide for the session. Started as ``taskiq worker ops.bench.peers.taskiq_chain:broker --workers 2``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Annotated, Any

import aiohttp
from taskiq import Context, TaskiqDepends, TaskiqEvents, TaskiqState
from taskiq_redis import RedisStreamBroker

from ops.bench.peers import job
from ops.bench.peers.job import Lead, log

broker = RedisStreamBroker(url=job.broker_url())


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def open_session(state: TaskiqState) -> None:
    """Open the session that all tasks of a worker share."""
    state.session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(job.TIMEOUT_S))


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
async def close_session(state: TaskiqState) -> None:
    """Close it."""
    await state.session.close()


@broker.task
async def ping(lead: Lead, context: Annotated[Context, TaskiqDepends()]) -> None:
    """Ping, and kick the post."""
    answer = await _call(context, job.ping_url(), job.ping_fields(lead))
    log.info("ping", lead_id=lead["lead_id"], price=answer["price"], token=answer["token"])
    await post.kiq(lead, answer["token"])


@broker.task
async def post(lead: Lead, token: str, context: Annotated[Context, TaskiqDepends()]) -> None:
    """Post."""
    answer = await _call(context, job.post_url(), job.post_fields(lead, token))
    log.info("post", lead_id=lead["lead_id"], price=answer["price"], phone_number=answer["PhoneNumber"])


async def _call(context: Context, url: str, fields: dict[str, str]) -> Any:
    async with context.state.session.post(url, data=fields) as answer:
        return await answer.json()


def enqueue(leads: Iterable[Lead]) -> None:
    """Start each lead on its way."""
    asyncio.run(_enqueue(leads))


async def _enqueue(leads: Iterable[Lead]) -> None:
    await broker.startup()
    for lead in leads:
        await ping.kiq(lead)
    await broker.shutdown()

"""Flower's configuration file. Flower runs it, and takes each name that is an option of its own; nobody imports it."""

from __future__ import annotations

import os

from flower.utils import strtobool
from flower.views import BaseHandler
from flower.views.tasks import TASK_COLUMNS
from tornado.options import options

from ops.flower.pages import QUEUES, plain
from ops.flower.queues import broker_of
from workers import logging as lines
from workers.celery import app

lines.configure(app.settings)

format_task = plain

# Without a password the API is closed, unless it was opened on purpose: no button would do anything, so none is shown.
_guarded = options.basic_auth or options.auth
_opened = strtobool(os.environ.get("FLOWER_UNAUTHENTICATED_API", "no"))
read_only = options.read_only or not (_guarded or _opened)

# Three things for which Flower has no option.
TASK_COLUMNS["args"] = "Lead"
BaseHandler.get_active_queue_names = lambda _: QUEUES
BaseHandler.get_broker = broker_of

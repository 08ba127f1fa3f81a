"""One JSON object a line on standard output: ours, Celery's and every library's, in the same shape.

What must never be logged is taken out at the last moment, whoever logged it: fields that hold identity or secrets by
name, and the key wherever it stands in a text. Each line of ours is held against its declaration (`tasks/events.toml`).
"""

from __future__ import annotations

import json
import logging
import logging.config
import sys
from collections.abc import Callable, MutableMapping
from typing import Any, Final, TextIO
from urllib.parse import urlsplit

import structlog

from tasks.buyers.registry import load_protocol
from tasks.events import MARK, Declaration, declaration
from workers.full_disk import LogStream
from workers.settings import TEST_KEY, Settings

Event = MutableMapping[str, Any]

QUIET: Final = {
    # A line a task, twice, with what our own lines say better.
    "celery.worker.strategy": logging.WARNING,
    "celery.app.trace": logging.CRITICAL,
    "celery.beat": logging.WARNING,
    "kombu": logging.WARNING,
    "amqp": logging.WARNING,
    "urllib3": logging.ERROR,
    "alembic": logging.WARNING,
    "tornado.access": logging.WARNING,
    # Flower asks workers what they are; while there is none it says so four times a look.
    "flower.inspector": logging.ERROR,
    "asyncio": logging.WARNING,
}
MASK: Final = "***"


class UndeclaredLine(Exception):
    """A line of ours that does not fit `tasks/events.toml`: mend the line, or declare it. The text tells no value."""


class Redaction:
    """A structlog processor: no identity and no secret leaves, by name or by value."""

    def __init__(self, names: frozenset[str], secrets: tuple[str, ...]) -> None:
        self._names = names
        self._secrets = tuple(secret for secret in secrets if len(secret) > 3)

    def __call__(self, _logger: Any, _method: str, event: Event) -> Event:
        """Mask what must not be seen."""
        for name, value in event.items():
            if name in self._names:
                event[name] = MASK
            elif isinstance(value, str) and self._secrets:
                event[name] = self._without_secrets(value)
        return event

    def _without_secrets(self, text: str) -> str:
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, MASK)
        return text


class Declared:
    """A structlog processor: a line of ours is as `events.toml` declares it.

    One that is not is marked (``undeclared`` names what does not fit) and goes on whole: no line is lost for it, and no
    sale fails. `raises` is for those who write the code.
    """

    def __init__(self, declared: Declaration, *, raises: bool = False) -> None:
        self._declared = declared
        self._raises = raises

    def __call__(self, _logger: Any, _method: str, event: Event) -> Event:
        """Mark what does not fit.

        Raises:
            UndeclaredLine: it does not fit, and `raises`.
        """
        if faults := self._declared.faults(event):
            if self._raises:
                raise UndeclaredLine(f"{event['event']}: {', '.join(faults)}")
            event[MARK] = faults
            # A row is a tuple, which JSON would have in full; its `repr` shows nothing of a caller.
            event.update({name: repr(event[name]) for name in faults if isinstance(event.get(name), tuple)})
        return event


def without_nothing(_logger: Any, _method: str, event: Event) -> Event:
    """Leave out what is not known."""
    for name in [name for name, value in event.items() if value is None]:
        del event[name]
    return event


# structlog would have an encoder made for each line.
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, default=repr)


def _as_json(_logger: Any, _method: str, event: Event) -> str:
    return _ENCODER.encode(event)


def configure(settings: Settings, count: Callable[[Event], None] = lambda _: None) -> None:
    """Set logging up for this process, once, before anything is logged. `count` is handed each line of ours."""
    shared, last = _ours(settings, sys.stdout, count)
    _route_the_standard_library(shared, last, logging.getLevelNamesMapping()[settings.log_level])


def configure_command(settings: Settings) -> None:
    """Set logging up for a command that changes something, and whose standard output is its answer."""
    _ours(settings, sys.stderr, lambda _: None, lasts=False)


def _ours(
    settings: Settings, stream: TextIO, count: Callable[[Event], None], *, lasts: bool = True
) -> tuple[list[Any], Any]:
    """Set structlog up. Gives the processors of every line, and what renders it."""
    redaction = Redaction(load_protocol().identity_fields | {"key"}, secrets_of(settings))
    declared = Declared(declaration(), raises=settings.log_undeclared == "raise")
    as_json = settings.log_format == "json" or (settings.log_format is None and not stream.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
        without_nothing,
        redaction,
    ]
    last = _as_json if as_json else structlog.dev.ConsoleRenderer()
    # Ours are read by whoever waits for a part, and hold each token and payout: a higher level quiets libraries alone.
    level = min(logging.getLevelNamesMapping()[settings.log_level], logging.INFO)
    structlog.configure(
        processors=[_Counted(count), *shared, structlog.processors.format_exc_info, declared, last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # What it uses of a file is write and flush.
        logger_factory=structlog.WriteLoggerFactory(LogStream(stream)),  # type: ignore[arg-type]  # see above
        cache_logger_on_first_use=lasts,
    )
    return shared, last


class _Counted:
    """A structlog processor: has each line counted."""

    def __init__(self, count: Callable[[Event], None]) -> None:
        self._count = count

    def __call__(self, _logger: Any, _method: str, event: Event) -> Event:
        self._count(event)
        return event


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """Give what must not stand in any text: the buyer's live key, and the passwords of the URLs."""
    key = settings.key.get_secret_value()
    servers = (settings.broker_url, settings.state_url, settings.ledger_url)
    urls = (*servers, settings.ping_url, settings.post_url, settings.direct_post_url, settings.one_step_url)
    return tuple(filter(None, (key if key != TEST_KEY else None, *map(_password, urls))))


def _password(url: str | None) -> str | None:
    """Give a URL's password with the marks around it, so that a short one masks no ordinary word."""
    user, at, _ = urlsplit(url or "").netloc.rpartition("@")
    _, colon, password = user.partition(":")
    return f":{password}@" if at and colon and password else None


def _route_the_standard_library(shared: list[Any], last: Any, level: int) -> None:
    # Libraries' exceptions are named, never printed: their texts and values are not ours to show.
    foreign = [*shared, structlog.stdlib.add_logger_name, _named_exception]
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "line": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": foreign,
                    # Redacted once more: a library's formatted message is a value too.
                    "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, shared[-1], last],
                }
            },
            "handlers": {"out": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "line"}},
            "root": {"handlers": ["out"], "level": max(level, logging.INFO)},
            "loggers": {name: {"level": quiet} for name, quiet in QUIET.items()},
        }
    )


def _named_exception(_logger: Any, _method: str, event: Event) -> Event:
    info = event.pop("exc_info", None)
    event.pop("stack_info", None)
    if isinstance(info, tuple) and info[0] is not None:
        event["error"] = info[0].__name__
    return event

"""How a command asks the ledger: by the settings alone, without a broker, and with one line where it cannot."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

import click
from sqlalchemy import Connection
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from tasks.ledger import Ledger, LedgerError
from workers.places import ledger_default
from workers.settings import PREFIX, Settings

T = TypeVar("T")

NOT_DONE, BAD_SETTINGS = 1, 2


def ask_ledger(name: str, settings: Settings, work: Callable[[Connection], T]) -> T:
    """Run a read on the ledger of these settings; leaves the process with one line where there is none to read."""
    url = settings.ledger_url or ledger_default(settings.data)
    try:
        parsed = make_url(url)
    except ArgumentError:
        refuse(name, f"{PREFIX}LEDGER_URL: not a database's URL", BAD_SETTINGS)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
        # Opening it would make an empty one, and a wrong folder would look like a ledger without leads.
        refuse(name, f"no ledger at {parsed.database} (PINGPOST_DATA is {settings.data})", NOT_DONE)
    ledger = Ledger.open(url)
    try:
        return ledger.read(work)
    except LedgerError as fault:
        cause = str(getattr(fault, "orig", None) or type(fault).__name__).splitlines()[0]
        refuse(name, f"the ledger cannot be read: {cause}", NOT_DONE)
    finally:
        ledger.close()


def refuse(name: str, why: str, code: int) -> NoReturn:
    """Leave with one line and an exit code."""
    click.echo(f"pingpost {name}: {why}", err=True)
    sys.exit(code)

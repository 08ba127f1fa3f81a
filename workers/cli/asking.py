"""How a command asks the ledger: by the settings alone, without a broker, and with one line where it cannot."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn, TypeVar

import click
from sqlalchemy import Connection

from tasks.ledger import Ledger, LedgerError
from workers.places import ledger_default, sqlite_file
from workers.settings import Settings, SettingsError

T = TypeVar("T")

NOT_DONE, BAD_SETTINGS = 1, 2


def ask_ledger(name: str, settings: Settings, work: Callable[[Connection], T]) -> T:
    """Run a read of one moment on the ledger of these settings.

    Leaves the process with one line where there is none to read.
    """
    with ledger_of(name, settings) as ledger:
        return ledger.read(work, one_moment=True)


@contextmanager
def ledger_of(name: str, settings: Settings, *, away: int = NOT_DONE) -> Iterator[Ledger]:
    """Open the ledger of these settings; where there is none, or it goes away, leaves the process with `away`."""
    try:
        file = sqlite_file(settings)
    except SettingsError as wrong:
        refuse(name, str(wrong), BAD_SETTINGS)
    if file is not None and not file.is_file():
        # Opening it would make an empty one, and a wrong folder would look like a ledger without leads.
        refuse(name, f"no ledger at {file} (PINGPOST_DATA is {settings.data})", away)
    ledger = Ledger.open(settings.ledger_url or ledger_default(settings.data))
    try:
        yield ledger
    except LedgerError as fault:
        cause = str(getattr(fault, "orig", None) or type(fault).__name__).splitlines()[0]
        refuse(name, f"the ledger cannot be read: {cause}", away)
    finally:
        ledger.close()


def refuse(name: str, why: str, code: int) -> NoReturn:
    """Leave with one line and an exit code."""
    click.echo(f"pingpost {name}: {why}", err=True)
    sys.exit(code)

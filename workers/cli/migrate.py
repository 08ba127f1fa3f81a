"""``pingpost migrate``: the ledger's tables in the newest form."""

from __future__ import annotations

import sys

import click
from sqlalchemy.exc import SQLAlchemyError

from tasks.ledger.migrate import migrate
from workers.places import ledger_default, without_password
from workers.settings import SettingsError, load

_EPILOG = """\b
Exit codes:
  0  the tables are in the newest form
  1  the database cannot be reached or refuses
  2  bad settings; the line names the variable
"""


@click.command("migrate", epilog=_EPILOG)
def command() -> None:
    """Create the ledger's tables, or bring them to the newest form.

    Safe to run again, and by several at once. `pingpost up` does the same when it starts.
    """
    try:
        settings = load()
        url = settings.ledger_url or ledger_default(settings.data)
        migrate(url)
    except SettingsError as wrong:
        click.echo(f"pingpost migrate: {wrong}", err=True)
        sys.exit(2)
    except (SQLAlchemyError, OSError) as fault:
        # The error's type alone: its text may show a password.
        click.echo(f"pingpost migrate: {without_password(url)}: {type(fault).__name__}", err=True)
        sys.exit(1)
    click.echo(f"the ledger is ready: {without_password(url)}")

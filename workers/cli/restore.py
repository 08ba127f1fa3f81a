"""``pingpost restore``: a ledger from its backup, in which nothing is sold a second time."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import click

from tasks.ledger import Ledger, LedgerError, backup
from tasks.ledger.migrate import migrate
from tasks.restored import end_what_was_open
from workers import folder
from workers.cli.asking import BAD_SETTINGS, NOT_DONE, refuse
from workers.full_disk import in_words
from workers.places import LOCK_FILE, sqlite_file
from workers.settings import SettingsError, load

_EPILOG = """\b
Exit codes:
  0  the ledger is restored
  1  somebody uses the ledger, or a ledger is there already, or FILE is none, or the database is away
  2  bad settings or arguments
"""


@click.command("restore", epilog=_EPILOG)
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--replace", is_flag=True, help="Where a ledger is: put it aside, beside the new one.")
def command(file: Path | None, *, replace: bool) -> None:
    """Put a backup in the ledger's place, and end the leads that were open in it as `unknown`.

    They may have been sold since the backup was made: none of them is sold again. On PostgreSQL, bring the backup back
    with `pg_restore` first, then run this without FILE. Nothing else may use the ledger meanwhile.
    """
    try:
        settings = load()
        database = sqlite_file(settings)
    except SettingsError as wrong:
        refuse("restore", str(wrong), BAD_SETTINGS)
    if folder.is_locked(settings.data / LOCK_FILE):
        refuse("restore", f"a `pingpost up` runs on {settings.data}: stop it first", NOT_DONE)
    try:
        if database is None:
            if file is not None:
                refuse("restore", "on PostgreSQL: pg_restore, then this without FILE (ops/runbook.md)", BAD_SETTINGS)
            number = _made_ready(str(settings.ledger_url), alone=True)
        else:
            number = _put_in_place(file, database, replace=replace)
    except (backup.BadCopy, sqlite3.Error) as fault:
        refuse("restore", str(fault), NOT_DONE)
    except (LedgerError, OSError) as fault:
        refuse("restore", in_words(fault), NOT_DONE)
    click.echo(f"restored; leads that were open in the backup and are `unknown` now: {number}")


def _put_in_place(file: Path | None, database: Path, *, replace: bool) -> int:
    if file is None:
        refuse("restore", "FILE: which backup?", BAD_SETTINGS)
    if database.exists() and not replace:
        refuse("restore", f"a ledger is at {database}; --replace puts it aside", NOT_DONE)
    aside = f".until-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    with backup.in_the_place_of(database, file, aside=aside) as draft:
        number = _made_ready(f"sqlite:///{draft}")
    if (kept := database.with_name(database.name + aside)).exists():
        click.echo(f"kept: {kept}")
    return number


def _made_ready(url: str, *, alone: bool = False) -> int:
    """Bring a ledger to the newest form and end what is open in it. `alone`: refuse while others are connected."""
    migrate(url)  # a backup may be older than this code
    ledger = Ledger.open(url)
    try:
        if alone and (users := ledger.read(backup.others)):
            refuse("restore", f"{users} others are connected to the ledger: stop all parts first", NOT_DONE)
        return end_what_was_open(ledger)
    finally:
        ledger.close()

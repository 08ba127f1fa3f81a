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
from workers.places import LOCK_FILE, ledger_default, sqlite_file
from workers.settings import Settings, SettingsError, load

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
    if database is None:
        if file is not None:
            refuse("restore", "on PostgreSQL: pg_restore, then this without FILE (see ops/runbook.md)", BAD_SETTINGS)
    elif file is None:
        refuse("restore", "FILE: which backup?", BAD_SETTINGS)
    else:
        _put_in_place(file, database, replace=replace)
    _end_what_was_open(settings)


def _put_in_place(file: Path, database: Path, *, replace: bool) -> None:
    if database.exists() and not replace:
        refuse("restore", f"a ledger is at {database}; --replace puts it aside", NOT_DONE)
    try:
        kept = backup.put_in_place(file, database, beside=f".until-{datetime.now(UTC):%Y%m%d-%H%M%S}")
    except (OSError, sqlite3.Error, backup.BadCopy) as fault:
        words = str(fault) if isinstance(fault, backup.BadCopy | sqlite3.Error) else in_words(fault)
        refuse("restore", words, NOT_DONE)
    for path in kept:
        click.echo(f"kept: {path}")


def _end_what_was_open(settings: Settings) -> None:
    url = settings.ledger_url or ledger_default(settings.data)
    ledger = Ledger.open(url)
    try:
        migrate(url)  # a backup may be older than this code
        if sqlite_file(settings) is None and (users := ledger.read(backup.others)):
            refuse("restore", f"{users} others are connected to the ledger: stop all parts first", NOT_DONE)
        number = end_what_was_open(ledger)
    except (LedgerError, OSError) as fault:
        refuse("restore", f"the ledger: {type(fault).__name__}", NOT_DONE)
    finally:
        ledger.close()
    click.echo(f"restored; leads that were open in the backup and are `unknown` now: {number}")

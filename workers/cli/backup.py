"""``pingpost backup``: a copy of the ledger, while it is in use."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import click

from tasks.ledger import backup
from workers.cli.asking import BAD_SETTINGS, NOT_DONE, refuse
from workers.full_disk import in_words
from workers.places import sqlite_file
from workers.settings import SettingsError, load

_EPILOG = """\b
Exit codes:
  0  the copy is whole, and on the disk
  1  FILE is there already, or the ledger cannot be read, or FILE cannot be written
  2  bad settings, or a ledger on PostgreSQL
"""


@click.command("backup", epilog=_EPILOG)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def command(file: Path) -> None:
    """Copy the SQLite ledger to FILE, as it stands at one moment, while leads are sold.

    FILE holds what the ledger holds: callers' identity, until retention has erased it. On PostgreSQL: `pg_dump`
    (ops/runbook.md, Backup and restore).
    """
    try:
        database = sqlite_file(load())
    except SettingsError as wrong:
        refuse("backup", str(wrong), BAD_SETTINGS)
    if database is None:
        refuse("backup", "the ledger is on PostgreSQL, which has its own: pg_dump (see ops/runbook.md)", BAD_SETTINGS)
    if not database.is_file():
        refuse("backup", f"no ledger at {database}", NOT_DONE)
    try:
        backup.copy(database, file)
    except (OSError, sqlite3.Error, backup.BadCopy) as fault:
        refuse("backup", _words(fault), NOT_DONE)
    click.echo(f"{file}: {file.stat().st_size} bytes")


def _words(fault: Exception) -> str:
    return str(fault) if isinstance(fault, FileExistsError | sqlite3.Error | backup.BadCopy) else in_words(fault)

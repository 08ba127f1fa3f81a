"""``pingpost archive``: what was said about old leads, from the ledger into a file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final, TextIO

import click

from tasks.ledger import Ledger
from tasks.ledger.archive import Place
from tasks.ledger.backup import OWNER_ONLY, flush
from workers.cli.asking import BAD_SETTINGS, NOT_DONE, ledger_of, refuse
from workers.settings import SettingsError, load

LEADS_TOGETHER: Final = 200  # so few that those who sell hardly wait for the ledger
DAY_MS: Final = 86_400_000

_EPILOG = """\b
Exit codes:
  0  done; where nothing is that old, there is no FILE
  1  FILE is there already or cannot be written, or the ledger is away: what left it stands in FILE
  2  bad settings or arguments
"""


@click.command("archive", epilog=_EPILOG)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--days", default=90, show_default=True, type=click.IntRange(1, 36_500), help="How long ago it ended.")
def command(file: Path, *, days: int) -> None:
    """Move the attempts of leads that ended long ago, what was said with the buyer, to FILE: a JSON object a line.

    Leads may be sold meanwhile.

    The leads stay in the ledger, with outcome, token and payout: none is sold again, and reports, statements and
    repeated sendings find them. Of those that were capped or blocked the attempts stay, too.
    """
    try:
        settings = load()
    except SettingsError as wrong:
        refuse("archive", str(wrong), BAD_SETTINGS)
    with ledger_of("archive", settings) as ledger:
        try:
            told, attempts = _fill(file, ledger, days * DAY_MS)
        except FileExistsError:
            refuse("archive", f"{file} is there already", NOT_DONE)
        except OSError as fault:
            refuse("archive", f"{file}: {fault.strerror}", NOT_DONE)
    if not told:
        click.echo(f"no attempt of a lead that ended {days} days ago or earlier")
    else:
        click.echo(f"{file}: {attempts} attempts of {told} leads")


def _fill(file: Path, ledger: Ledger, older_than_ms: int) -> tuple[int, int]:
    """Move all that is old to a new file, which is gone again where there is nothing.

    Gives how many leads and attempts.

    Raises:
        FileExistsError, OSError: the file is there already, or cannot be written.
    """
    descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, OWNER_ONLY)
    try:
        flush(file.absolute().parent)  # a loss of power must not take the file whose content has left the ledger
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            return _move(ledger, out, older_than_ms)
    finally:
        if file.stat().st_size == 0:
            file.unlink()


def _move(ledger: Ledger, out: TextIO, older_than_ms: int) -> tuple[int, int]:
    """Move it, some leads at a time."""
    told = attempts = 0
    after: Place | None = None
    while (batch := ledger.old_attempts(older_than_ms=older_than_ms, after=after, limit=LEADS_TOGETHER)) is not None:
        out.writelines(json.dumps(line) + "\n" for line in batch.lines)
        # On the disk before it leaves the ledger. A crash between the two leaves it in both.
        out.flush()
        os.fsync(out.fileno())
        attempts += ledger.remove_attempts(batch)
        told += len(batch.lines)
        after = batch.ends
    return told, attempts

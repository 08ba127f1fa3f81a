"""A report as CSV, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import Final, TextIO

from tasks.ledger.report import By, Report
from workers.report.measures import KEYS, MEASURES, plain_member

# A spreadsheet runs a cell that begins so, and a sub source is a stranger's text (OWASP, CSV Injection).
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - the wide ones too


def write(file: TextIO, by: Sequence[By], groups: Report) -> None:
    """Write a heading, and a row a group. What is not known is an empty cell."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*(KEYS[each] for each in by), *(measure.name for measure in MEASURES)])
    for group, tally in groups.items():
        names = (safe(str(plain_member(member))) for member in group)
        writer.writerow([*names, *(measure.plain(tally) for measure in MEASURES)])


def safe(text: str) -> str:
    """Give a text that no spreadsheet takes for a formula: with an apostrophe before it, where it might be one."""
    return f"'{text}" if text.startswith(_FORMULA) else text

"""``pingpost submit``: leads from a file."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from workers.places import resolve
from workers.producer import Producer, ProducerError
from workers.services import Wiring
from workers.settings import SettingsError, load
from workers.submission import (
    BadFile,
    Check,
    CsvReader,
    Format,
    InvalidRows,
    Row,
    beside,
    checker,
    format_of,
    read_jsonl,
)

_EPILOG = """\b
Exit codes:
  0  every row was sent, and with --wait has an outcome
  1  some rows are invalid: FILE.invalid.csv (or .jsonl) has each with its reason; or the intake found a lead invalid
  2  bad settings, usage or file, or the broker is away
  3  --timeout passed before every lead had its outcome
"""
_TOGETHER: Final = 100
_OK, _INVALID, _BAD, _LATE = range(4)
Lead = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for. `timeout_s` in seconds, `rate` in leads a second."""

    file: str
    form: Format
    wait: bool
    timeout_s: float
    as_json: bool
    rate: float | None

    @property
    def together(self) -> int:
        """How many leads are sent at once: as they come from a pipe, in small portions under a rate."""
        if self.file == "-":
            return 1
        return _TOGETHER if self.rate is None else max(1, min(_TOGETHER, int(self.rate / 10)))


@click.command("submit", epilog=_EPILOG)
@click.argument("file", metavar="FILE.csv|FILE.jsonl|-")
@click.option("--wait", is_flag=True, help="Wait for every outcome, and show how they ended.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0),
    default=120,
    show_default=True,
    metavar="S",
    help="With --wait: seconds to wait after the last lead was sent.",
)
@click.option("--json", "as_json", is_flag=True, help="With --wait: print one outcome a line, as it comes.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), metavar="N", help="Send at most N leads a second.")
@click.option("--format", "form", type=click.Choice(["csv", "jsonl"]), help="What FILE is, where its name is silent.")
def command(file: str, wait: bool, timeout_s: float, as_json: bool, rate: float | None, form: Format | None) -> None:
    """Send leads from a CSV file, a JSON Lines file, or standard input (-: JSON Lines, or CSV with --format csv).

    A CSV's header names the fields; an empty cell is a field not given. Every row is checked before it is sent. Invalid
    rows are written beside the file (FILE.invalid.csv, FILE.invalid.jsonl; stdin.invalid.jsonl here for -) with a
    column `reason`, which is passed over when the mended file is sent.

    A row without a lead_id gets one made of its content (row- and the SHA-256 of its fields). So a file may be sent
    twice, and each row is sold once; two rows that are the same in everything are one lead.
    """
    try:
        code = _submit(Order(file, format_of(file, form), wait, timeout_s, as_json, rate))
    except (SettingsError, BadFile, ProducerError, OSError) as wrong:
        click.echo(f"pingpost submit: {wrong}", err=True)
        code = _BAD
    sys.exit(code)


class Outcomes:
    """Gathers outcomes as they come, from whichever thread."""

    def __init__(self, *, print_each: bool) -> None:
        self.statuses: Counter[str] = Counter()
        self.fault: BaseException | None = None
        self._payouts: dict[str, tuple[str, Decimal]] = {}
        self._print_each = print_each
        self._changed = threading.Condition()

    @property
    def count(self) -> int:
        """How many leads have theirs."""
        return self.statuses.total()

    def payouts(self, status: str) -> Decimal:
        """Give what the leads of a status pay, in dollars; a lead counts once, one of test mode never."""
        return sum((price for ended, price in self._payouts.values() if ended == status), Decimal(0))

    def add(self, future: Future[dict[str, Any]]) -> None:
        """Take what a future has brought."""
        with self._changed:
            self.fault = self.fault or future.exception()
            if future.exception() is None:
                self._take(future.result())
            self._changed.notify_all()

    def wait_for(self, count: int, timeout_s: float) -> bool:
        """Wait until so many leads have their outcome. False: not within `timeout_s`.

        Raises:
            ProducerError: one of them will not have it.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.fault is not None or self.count >= count, timeout_s)
            if self.fault is not None:
                raise self.fault
            return self.count >= count

    def _take(self, outcome: Mapping[str, Any]) -> None:
        status = str(outcome.get("status"))
        self.statuses[status] += 1
        if status == "sold" and "price" in outcome and not outcome.get("test"):
            self._payouts[str(outcome["lead_id"])] = (status, Decimal(outcome["price"]))
        if self._print_each:
            click.echo(json.dumps(outcome, ensure_ascii=False))


def _submit(order: Order) -> int:
    settings = load()
    broker_url = resolve(settings).broker_url
    check = checker(Wiring(settings).protocol, settings)
    total = _count(order) if sys.stderr.isatty() else None
    with ExitStack() as stack:
        header, rows = _open(order, check, stack)
        invalid = stack.enter_context(InvalidRows(beside(order.file, order.form), header))
        outcomes = Outcomes(print_each=order.as_json)
        progress = stack.enter_context(_progress())
        bar = progress.add_task("sent", total=total)
        producer = stack.enter_context(Producer(broker_url))
        sent = 0
        for leads in _paced(_valid(rows, invalid), order):
            sent += len(leads)
            if order.wait:
                for future in producer.submit_many(leads):
                    future.add_done_callback(outcomes.add)
                outcomes.wait_for(0, 0)
            else:
                producer.publish_many(leads)
            progress.update(bar, completed=sent + invalid.count)
        ended = not order.wait or _wait(outcomes, sent, order, progress)
    _report(order, sent, invalid, outcomes)
    if not ended:
        return _LATE
    return _INVALID if invalid.count or outcomes.statuses["invalid"] else _OK


def _open(order: Order, check: Check, stack: ExitStack) -> tuple[list[str] | None, Iterator[Row]]:
    stream: BinaryIO = sys.stdin.buffer
    if order.file != "-":
        stream = Path(order.file).open("rb")  # noqa: SIM115 - closed by the stack
        stack.enter_context(stream)
    if order.form == "jsonl":
        return None, read_jsonl(stream, check)
    reader = CsvReader(stream)
    return reader.header, reader.rows(check)


def _count(order: Order) -> int | None:
    """Count a file's rows beforehand, so that the bar knows its end."""
    if order.file == "-":
        return None
    with ExitStack() as stack:
        _, rows = _open(order, lambda _lead: "", stack)
        return sum(1 for _ in rows)


def _valid(rows: Iterable[Row], invalid: InvalidRows) -> Iterator[Lead]:
    for row in rows:
        if row.lead is None:
            invalid.add(row)
        else:
            yield row.lead


def _paced(leads: Iterator[Lead], order: Order) -> Iterator[list[Lead]]:
    began, sent = time.monotonic(), 0
    while window := list(islice(leads, order.together)):
        if order.rate:
            time.sleep(max(0.0, began + sent / order.rate - time.monotonic()))
        yield window
        sent += len(window)


def _wait(outcomes: Outcomes, sent: int, order: Order, progress: Progress) -> bool:
    bar = progress.add_task("ended", total=sent)
    deadline = time.monotonic() + order.timeout_s
    while True:
        left_s = deadline - time.monotonic()
        ended = outcomes.wait_for(sent, min(max(left_s, 0), 0.1))
        progress.update(bar, completed=outcomes.count)
        if ended or left_s <= 0:
            return ended


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty())


def _report(order: Order, sent: int, invalid: InvalidRows, outcomes: Outcomes) -> None:
    kept = f", {invalid.count} invalid: {invalid.path}" if invalid.count else ""
    click.echo(f"{sent} sent{kept}", err=True)
    if not order.wait:
        return
    if outcomes.count < sent:
        click.echo(f"{sent - outcomes.count} without an outcome after {order.timeout_s:g} s", err=True)
    if order.as_json:
        return
    table = Table("status", "leads", "payouts")
    for status, count in sorted(outcomes.statuses.items()):
        table.add_row(status, str(count), f"${outcomes.payouts(status):.2f}" if status == "sold" else "")
    table.add_section()
    table.add_row("all", str(outcomes.count), f"${outcomes.payouts('sold'):.2f}")
    Console().print(table)

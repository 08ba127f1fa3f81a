"""``pingpost bench``: how fast pingpost is beside its peers and the bare machine."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console

from workers.cli.asking import BAD_SETTINGS, NOT_DONE, refuse

if TYPE_CHECKING:
    from ops.bench.bars import Row
    from ops.bench.report import Baseline

_EPILOG = """\b
Exit codes:
  0  measured, be it that a bar was missed
  1  nothing could be measured here, or a file cannot be read or written
  2  bad arguments
"""
PLACES: Final = ("rabbitmq", "embedded", "postgresql")
NEEDS: Final = "psutil"
_FILE: Final = click.Path(dir_okay=False, path_type=Path)


@click.command("bench", epilog=_EPILOG)
@click.argument("rows", nargs=-1, metavar="[ROW]...")
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="Rounds, interleaved.")
@click.option("--leads", type=click.IntRange(min=100), default=2000, show_default=True, help="Leads of a run.")
@click.option("--ledger", type=click.IntRange(1000), default=1_000_000, show_default=True, help="Leads of `million`.")
@click.option("--soak", type=click.IntRange(2000), default=100_000, show_default=True, help="Leads of `memory`.")
@click.option(
    "--on",
    "places",
    type=click.Choice(PLACES),
    multiple=True,
    default=PLACES,
    help="Broker and ledger: RabbitMQ and SQLite, embedded Valkey and SQLite, RabbitMQ and PostgreSQL.  [default: all]",
)
@click.option("--json", "as_json", is_flag=True, help="A JSON object: machine, rows, and every figure of every round.")
@click.option("--html", type=_FILE, metavar="FILE", help="One page with a plot, which opens from disk.")
@click.option("--save", type=_FILE, metavar="FILE", help="Keep the JSON object, to compare with later.")
@click.option("--baseline", type=_FILE, metavar="FILE", help="What to compare with.  [default: the stored one]")
def command(  # noqa: PLR0913 - an option each
    rows: tuple[str, ...],
    *,
    rounds: int,
    leads: int,
    ledger: int,
    soak: int,
    places: tuple[str, ...],
    as_json: bool,
    html: Path | None,
    save: Path | None,
    baseline: Path | None,
) -> None:
    """Measure pingpost beside plain Celery, dramatiq, taskiq and a bare loop, in interleaved rounds.

    ROW is some of the table's first column; without any, all are measured, in about half an hour. The servers that it
    needs it starts itself, from installed programs; what is not installed costs its rows. Only ratios within a run say
    anything of another machine. How each row is measured: ops/bench/README.md.
    """
    if find_spec(NEEDS) is None:
        refuse("bench", f"the package {NEEDS} is not installed: `make bench` installs what is needed", NOT_DONE)
    from ops.bench import machine, page, report, table  # noqa: PLC0415 - they need psutil
    from ops.bench.run import Run  # noqa: PLC0415
    from ops.bench.servers import Servers  # noqa: PLC0415
    from ops.bench.trials import Order  # noqa: PLC0415

    chosen, before = _chosen(rows), _baseline(baseline)
    with Servers() as servers:
        order = Order(servers, leads, max(100, leads // 10), ledger, soak)
        on = [place for place in PLACES if place in places]
        run = Run(chosen, on, order, lambda line: click.echo(line, err=True))
        run.rounds(rounds)
        described = machine.described(servers)
    results = run.results()
    changes = before.changes(described, results) if before else {}
    told = json.dumps(report.as_object(described, rounds, run, results), indent=1)
    if save:
        _write(save, told + "\n")
    if html:
        _write(html, page.render(described, results, changes))
    if as_json:
        click.echo(told)
    else:
        table.show(Console(), described, results, changes)
    if all(result.spread is None for result in results):
        sys.exit(NOT_DONE)


def _chosen(names: tuple[str, ...]) -> list[Row]:
    from ops.bench.bars import load  # noqa: PLC0415 - as above

    rows = load()
    known = [row.name for row in rows]
    if unknown := [name for name in names if name not in known]:
        refuse("bench", f"no row {', '.join(unknown)}; there are {', '.join(known)}", BAD_SETTINGS)
    return [row for row in rows if not names or row.name in names]


def _baseline(file: Path | None) -> Baseline | None:
    from ops.bench.report import STORED, Baseline, NoBaseline  # noqa: PLC0415 - as above

    if file is None and not STORED.exists():
        return None
    try:
        return Baseline.read(file or STORED)
    except NoBaseline as none:
        refuse("bench", f"no baseline: {none}", NOT_DONE)


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as fault:
        refuse("bench", f"cannot write {file}: {fault.strerror}", NOT_DONE)
    click.echo(f"wrote {file}", err=True)

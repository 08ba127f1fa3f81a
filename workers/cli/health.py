"""``pingpost health``: whether a part is alive, for a container's healthcheck or a watchdog."""

from __future__ import annotations

import json
import sys

import click

from workers import health
from workers.settings import SettingsError, load

_EPILOG = """\b
Exit codes:
  0  the part is alive
  1  it is not: its last heartbeat is too old, or there never was one
  2  bad settings or arguments; the line names the variable
"""


@click.command("health", epilog=_EPILOG)
@click.argument("part")
@click.option(
    "--within",
    "within_s",
    type=click.FloatRange(min=0, min_open=True),
    default=15.0,
    show_default=True,
    help="Seconds in which a heartbeat must have come.",
)
@click.option("--json", "as_json", is_flag=True, help="JSON.")
def command(*, part: str, within_s: float, as_json: bool) -> None:
    """Tell whether PART (intake, calls, worker, beat) of this PINGPOST_DATA is alive.

    It looks at the file that the part touches while its loop turns; nothing is sent to anyone.
    """
    try:
        age_s = health.age_s(load().data, part)
    except (SettingsError, ValueError) as wrong:
        click.echo(f"pingpost health: {wrong}", err=True)
        sys.exit(2)
    alive = age_s is not None and age_s <= within_s
    if as_json:
        click.echo(json.dumps({"part": part, "alive": alive, "age_s": None if age_s is None else round(age_s, 1)}))
    else:
        heard = "never heard of" if age_s is None else f"last heard of {age_s:.1f} s ago"
        click.echo(f"{part}: {'alive' if alive else 'not alive'}, {heard}")
    sys.exit(0 if alive else 1)

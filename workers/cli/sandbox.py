"""`pingpost sandbox`: the stand-in buyer."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ops.sandbox.server import Endpoints


ANYBODY: Final = ("sandbox", "sandbox-key")


@click.command(
    name="sandbox",
    epilog="Exit codes: 0 stopped by SIGTERM or SIGINT; 1 the port or the book's file cannot be had; "
    "2 wrong usage, or a scenario that cannot be played.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=0, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--scenario", "scenario", metavar="FILE", help="A TOML file, or the name of one shipped: demo.")
@click.option(
    "--book",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Append every call, token and sale to this file, as JSON Lines; one that exists is taken up.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the settings as one JSON object.")
def command(host: str, port: int, scenario: str | None, book: Path | None, as_json: bool) -> None:
    """Run a stand-in for the buyer, over real HTTP, until stopped.

    Prints the settings that point pingpost at it. What it bought is at /_sandbox/book.
    """
    from ops.sandbox.book import Book  # noqa: PLC0415  # other commands shall not pay for a server
    from ops.sandbox.buyer import Buyer  # noqa: PLC0415
    from ops.sandbox.scenario import Scenario, ScenarioError, load_scenario  # noqa: PLC0415
    from ops.sandbox.server import serve_until_stopped  # noqa: PLC0415

    try:
        chosen = load_scenario(scenario) if scenario else Scenario()
    except ScenarioError as wrong:
        raise click.UsageError(str(wrong)) from None
    try:
        kept = Book(book)
        asyncio.run(
            serve_until_stopped(
                Buyer(chosen, kept),
                host,
                port,
                lambda endpoints: _announce(endpoints, chosen.partners, as_json=as_json),
            )
        )
    except OSError as fault:
        raise click.ClickException(f"cannot run the sandbox: {fault.strerror or fault}") from None
    kept.close()


def _announce(endpoints: Endpoints, partners: Mapping[str, str], *, as_json: bool) -> None:
    settings = endpoints.environment()
    if as_json:
        print(json.dumps(settings), flush=True)
        return
    partner_id, key = next(iter(partners.items()), ANYBODY)
    settings |= {"PINGPOST_PARTNER_ID": partner_id, "PINGPOST_KEY": key}
    print("\n".join(f"{name}={value}" for name, value in settings.items()), flush=True)
    whose = "of the scenario's partners" if partners else "any partner id and key will do"
    click.echo(f"# {whose}; fit for a .env; book: {endpoints.base}/_sandbox/book; Ctrl-C stops it", err=True)

"""The commands of ``pingpost``: one file each, loaded when it is called."""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from typing import Final

import click
import structlog

COMMANDS: Final = {
    "up": "run everything on this machine",
    "sandbox": "run a stand-in buyer",
    "submit": "send leads from a file",
    "lead": "tell the whole story of a lead",
    "report": "tell payouts by day, category and sub source",
    "reconcile": "compare the buyer's statement with the ledger",
    "gates": "show, open and close gates",
    "dead": "list, show, requeue or drop dead letters",
    "certify": "run the buyer's test mode, step by step",
    "check": "check settings and connections, or how an answer is read",
    "bench": "measure pingpost beside its peers",
    "intake": "run the front door alone",
    "migrate": "bring the ledger's tables to the newest form",
    "backup": "copy the ledger while it is in use",
    "restore": "put a backup in the ledger's place",
    "archive": "move what was said about old leads to a file",
    "health": "tell whether a part is alive",
}


class Commands(click.Group):
    """Commands that are imported when they are called: `--help` and a wrong name cost nothing."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Give the names in the order in which they are needed."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Load one command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"workers.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as above
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pingpost", prog_name="pingpost")
def main() -> None:
    """Workers that sell live calls by ping and post."""
    # Standard output is what a command answers. Commands that run on set logging up for themselves (`workers.logging`).
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )


if __name__ == "__main__":
    main()

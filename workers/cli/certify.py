"""``pingpost certify``: the buyer's test mode, step by step, each answer beside its reading; then yes or no."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NoReturn

import click
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tasks.buyers.certification import Form, Mark, Verdict, conclude
from tasks.buyers.proposal import Proposal, as_toml
from tasks.core.lead import Flow
from workers import certification_page, folder
from workers.certifying import Run, Taken, every_form
from workers.readings import as_object
from workers.services import Wiring
from workers.settings import PREFIX, TEST_KEY, Settings, SettingsError, load

GO, NO, BAD_SETTINGS = 0, 1, 2
PAGE: Final = "certification.html"
_EPILOG = """\b
Exit codes:
  0  yes: every step of the flow that is set was answered, read, and is right
  1  no: a step is not right, or could not be taken; the reasons are told
  2  bad settings or arguments, or a file that cannot be written
"""
_COLOURS = {Mark.RIGHT: "green", Mark.WRONG: "red", Mark.SKIPPED: "yellow"}
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("certify", epilog=_EPILOG)
@click.option("--all", "all_forms", is_flag=True, help="Every method with every format, not only those that are set.")
@click.option("--page", type=_FILE, help=f"Write the page for the buyer here.  [default: PINGPOST_DATA/{PAGE}]")
@click.option(
    "--mapping-out", type=_FILE, help="Write the mapping that is proposed, if one is, to this new file (TOML)."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a step, then one with the verdict.")
def command(*, all_forms: bool, page: Path | None, mapping_out: Path | None, as_json: bool) -> None:
    """Run the buyer's test against the configured endpoints: with the key `test_mode`, whatever PINGPOST_KEY is.

    Each call is asked for an acceptance (subid `match`) and for a refusal. Where an answer cannot be read, a mapping is
    proposed, which a person must confirm. The caller is a sample; nothing is written to the ledger, and nothing that is
    sold counts. In the end there are a page to send to the buyer, and a yes or no to going live.
    """
    try:
        settings = load()
        if not settings.partner_id:
            raise SettingsError(f"{PREFIX}PARTNER_ID: not set (the buyer gives it)")
        wiring = Wiring(settings)
        run = Run(wiring)
    except SettingsError as wrong:
        _refuse(str(wrong))
    if mapping_out is not None and mapping_out.exists():
        _refuse(f"{mapping_out} is there already, and may be in use: choose another name")
    here = Form(settings.method, settings.resptype)
    taken = []
    for one in run.take([here, *(form for form in every_form() if all_forms and form != here)]):
        taken.append(one)
        _tell(one, as_json=as_json)
    verdict = conclude([one.finding for one in taken], here, Flow(settings.flow))
    proposal, now = run.proposal(), datetime.now(UTC)
    proposed = as_toml(proposal, now.date()) if proposal else None
    try:
        if proposed is not None and mapping_out is not None:
            mapping_out.write_text(proposed, encoding="utf-8")
        written = page or folder.make_private(settings.data) / PAGE
        written.write_text(_page(taken, verdict, proposal, wiring, now), encoding="utf-8")
    except OSError as fault:
        _refuse(f"cannot write {fault.filename}: {fault.strerror}")
    if as_json:
        click.echo(json.dumps(_as_object(verdict, proposal, proposed, written)))
    else:
        if proposal is not None and proposed is not None:
            _show_proposal(proposal, proposed, mapping_out)
        _show_verdict(verdict, here, settings.flow, written)
    sys.exit(GO if verdict.go_live else NO)


def _refuse(why: str) -> NoReturn:
    click.echo(f"pingpost certify: {why}", err=True)
    sys.exit(BAD_SETTINGS)


def _page(taken: Sequence[Taken], verdict: Verdict, proposal: Proposal | None, wiring: Wiring, now: datetime) -> str:
    return certification_page.page(
        taken,
        verdict,
        partner_id=wiring.settings.partner_id,
        endpoints=wiring.buyer_config.endpoints,
        proposal=proposal,
        questions=certification_page.open_questions(_settled(wiring.settings), shown=verdict.go_live),
        now=now,
    )


def _settled(settings: Settings) -> set[str]:
    """Name the variables that have been decided on; a key for the test is none yet."""
    names = {name.upper() for name in settings.model_fields_set if getattr(settings, name) is not None}
    return names - {"KEY"} if settings.key.get_secret_value() in ("", TEST_KEY) else names


def _tell(one: Taken, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_step(one)))
    else:
        _show(one)


def _step(one: Taken) -> dict[str, Any]:
    finding, exchange = one.finding, one.exchange
    told: dict[str, Any] = {
        "step": finding.step.name,
        "method": finding.form.method,
        "resptype": finding.form.resptype,
        "verdict": finding.mark.value,
        "why": finding.why or None,
        "notes": list(finding.notes),
    }
    if exchange is not None:
        told |= {
            "request": dict(exchange.request),
            "http_status": exchange.http_status,
            "content_type": one.content_type,
            "duration_ms": round(exchange.duration_ms, 1),
            "answer": exchange.raw,
            "read": as_object(exchange.answer),
        }
    return told


def _as_object(verdict: Verdict, proposal: Proposal | None, proposed: str | None, written: Path) -> dict[str, Any]:
    told: dict[str, Any] = {
        "go_live": verdict.go_live,
        "reasons": list(verdict.reasons),
        "remarks": list(verdict.remarks),
        "notes": list(verdict.notes),
        "page": str(written),
        "proposal": None,
    }
    if proposal is not None:
        guesses = [
            {"fact": each.fact, "name": each.name, "certainty": each.certainty.name.lower(), "why": each.why}
            for each in proposal.guesses
        ]
        told["proposal"] = {"guesses": guesses, "toml": proposed, "would_not_read": len(proposal.unread)}
    return told


def _show(one: Taken) -> None:
    finding, exchange = one.finding, one.exchange
    parts: list[Any] = [Text(finding.why, _COLOURS[finding.mark])] if finding.why else []
    if exchange is not None:
        sent = "  ".join(f"{name}={value}" for name, value in exchange.request.items())
        table = Table(expand=True, box=None, padding=(0, 2, 0, 0))
        table.add_column(_heard(one), ratio=3, overflow="fold")
        table.add_column("read as", ratio=2, overflow="fold")
        reading = [f"{name}: {value}" for name, value in as_object(exchange.answer).items() if value is not None]
        table.add_row(Text(exchange.raw), Text("\n".join(reading)))
        parts = [Text(sent, "dim"), table, *parts]
    parts += [Text(f"to ask: {note}", "yellow") for note in finding.notes]
    title = Text(f"{finding.step.name}: {finding.mark}  ({finding.form})")
    Console(highlight=False).print(
        Panel(Group(*parts), title=title, title_align="left", border_style=_COLOURS[finding.mark])
    )


def _heard(one: Taken) -> Text:
    exchange = one.exchange
    if exchange is None or exchange.http_status is None:
        return Text("no answer")
    kind = f", {one.content_type}" if one.content_type else ""
    return Text(f"answer: HTTP {exchange.http_status}{kind}, {exchange.duration_ms:.0f} ms")


def _show_proposal(proposal: Proposal, proposed: str, mapping_out: Path | None) -> None:
    console = Console(highlight=False)
    console.rule("a mapping, proposed: a person must confirm it")
    click.echo(proposed)
    if proposal.unread:
        console.print(Text(f"It would leave {len(proposal.unread)} of {len(proposal.readings)} answers unread.", "red"))
    else:
        console.print(Text(f"It would read all {len(proposal.readings)} answers as what was asked for.", "green"))
    if mapping_out is None:
        console.print("To have it as a file: pingpost certify --mapping-out FILE")
    else:
        console.print(Text(f"Confirm it, then: {PREFIX}MAPPING={mapping_out} pingpost certify"))


def _show_verdict(verdict: Verdict, form: Form, flow: str, written: Path) -> None:
    console = Console(highlight=False)
    console.print(Text(f"the page for the buyer: {written}"))
    answer, colour = ("YES", "green") if verdict.go_live else ("NO", "red")
    console.print(Text(f"GO LIVE: {answer}  (flow {flow}, {form})", f"bold {colour}"))
    for told, words in (("since", verdict.reasons), ("note", verdict.remarks), ("ask", verdict.notes)):
        for line in words:
            console.print(Text(f"  {told}: {line}"))

"""``pingpost certify``: the buyer's test mode, step by step, each answer beside its reading."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import click
from rich.console import Console
from rich.panel import Panel

from tasks.buyers.certification import STEPS, Step, offer
from tasks.buyers.http import HttpBuyer
from tasks.buyers.port import Exchange
from tasks.core.bid import Bid
from tasks.core.money import Money
from tasks.core.protocol import Call
from workers.cli.check import as_object
from workers.services import Wiring
from workers.settings import PREFIX, TEST_KEY, SettingsError, load

_EPILOG = """\b
Exit codes:
  0  every step that could be taken was read and is right
  1  a step is not right; its answer is shown
  2  bad settings or arguments
"""
TEST_PRICE = Money.parse("0.50")  # stated: "For direct post according to a ziplist: add price = 0.5"


@click.command("certify", epilog=_EPILOG)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a step.")
def command(*, as_json: bool) -> None:
    """Run the buyer's test against the configured endpoints: with the key `test_mode`, whatever PINGPOST_KEY is.

    One-step first: it is the only endpoint that the buyer's page states. A call whose endpoint is not set is skipped.
    Nothing is written to the ledger, and nothing that is sold counts.
    """
    try:
        settings = load()
        if not settings.partner_id:
            raise SettingsError(f"{PREFIX}PARTNER_ID: not set (the buyer gives it)")
        wiring = Wiring(settings)
        config = dataclasses.replace(wiring.buyer_config, key=TEST_KEY)
        buyer = HttpBuyer(wiring.protocol, wiring.mapping, config)
    except SettingsError as wrong:
        click.echo(f"pingpost certify: {wrong}", err=True)
        sys.exit(2)
    right = True
    for step, exchange, skipped in _run(wiring, buyer):
        ok = exchange is not None and step.is_right(exchange.answer)
        right = right and (ok or bool(skipped))
        _show(step, exchange, skipped, ok=ok, as_json=as_json)
    sys.exit(0 if right else 1)


def _run(wiring: Wiring, buyer: HttpBuyer) -> Iterator[tuple[Step, Exchange | None, str | None]]:
    bid: Bid | None = None
    run = f"certify-{time.strftime('%Y%m%d%H%M%S', time.gmtime())}"
    endpoints = wiring.buyer_config.endpoints
    for number, step in enumerate(STEPS, 1):
        if not endpoints[step.call]:
            yield step, None, f"{PREFIX}{step.call.upper()}_URL is not set"
            continue
        if step.call is Call.POST and bid is None:
            yield step, None, None
            continue
        test_subid = wiring.protocol.test_subid
        asked = offer(step, f"{run}-{number}", test_subid=test_subid, price=TEST_PRICE, bid=bid)
        exchange = buyer.ask(step.call, asked, wiring.rules.timeout_s(step.call))
        if step.call is Call.PING and isinstance(exchange.answer, Bid):
            bid = exchange.answer
        yield step, exchange, None


def _show(step: Step, exchange: Exchange | None, skipped: str | None, *, ok: bool, as_json: bool) -> None:
    verdict = "skipped" if skipped else "right" if ok else "not right"
    shown: dict[str, Any] = {"step": step.name, "verdict": verdict}
    if exchange is None:
        shown["why"] = skipped or "no bid to post against"
    else:
        shown |= {
            "request": dict(exchange.request),
            "http_status": exchange.http_status,
            "duration_ms": round(exchange.duration_ms, 1),
            "answer": exchange.raw,
            **as_object(exchange.answer),
        }
    if as_json:
        click.echo(json.dumps(shown))
        return
    colour = {"right": "green", "not right": "red", "skipped": "yellow"}[verdict]
    lines = [f"{name}: {_plain(value)}" for name, value in shown.items() if name not in ("step", "verdict") and value]
    Console(highlight=False).print(
        Panel("\n".join(lines), title=f"{step.name}: {verdict}", title_align="left", border_style=colour), markup=False
    )


def _plain(value: object) -> str:
    return "  ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else str(value)

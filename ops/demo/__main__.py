"""``make demo``: broker, sandbox buyer, workers, beat and Flower, 100 leads, and a table of what became of them.

The same on other servers: set PINGPOST_BROKER_URL (and PINGPOST_LEDGER_URL) before.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import as_completed
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import requests
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ops.demo.leads import CAPPED, COUNT, Sample, samples
from workers.producer import Producer

START_S = 60
OUTCOMES_S = 60
console = Console(highlight=False)


def main() -> int:
    """Run the demo; the exit code is 0 only if every lead ended as the scenario says and the books agree."""
    options = argparse.ArgumentParser(prog="make demo", description=__doc__)
    options.add_argument("--keep", action="store_true", help="stay up until Ctrl-C")
    keep = options.parse_args().keep
    run = time.strftime("demo-%Y%m%d-%H%M%S")
    data = Path(os.environ.get("PINGPOST_DATA", ".pingpost")) / run
    data.mkdir(parents=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    with _sandbox(data) as endpoints, _up(data, endpoints) as facts:
        console.print(f"ready after {time.monotonic() - began:.1f} s; sending {COUNT} leads")
        sent = list(samples(run))
        outcomes = _sell((data / "broker-url").read_text().strip(), sent)
        faults = _faults(sent, outcomes, run, endpoints["sandbox"])
        _show(outcomes, faults)
        _where(data, facts, time.monotonic() - began)
        if keep:
            console.print("staying up; Ctrl-C ends it")
            _until_interrupted()
    return 1 if faults else 0


@contextmanager
def _sandbox(data: Path) -> Iterator[dict[str, str]]:
    arguments = [sys.executable, "-m", "workers.cli", "sandbox", "--scenario", "demo", "--json"]
    arguments += ["--book", str(data / "sandbox-book.jsonl")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own command
        try:
            if process.stdout is None or not (line := process.stdout.readline()):
                raise SystemExit("the sandbox did not start")
            settings: dict[str, str] = json.loads(line)
            yield {**settings, "sandbox": settings["PINGPOST_PING_URL"].rpartition("/")[0]}
        finally:
            process.terminate()


@contextmanager
def _up(data: Path, endpoints: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Start everything, and yield what its `up.ready` line tells."""
    buyer = {name: value for name, value in endpoints.items() if name.startswith("PINGPOST_")}
    demo = {
        "PINGPOST_PARTNER_ID": "DEMO",
        "PINGPOST_KEY": "sandbox-key-of-the-demo",
        "PINGPOST_SUBID": "demo",
        "PINGPOST_DATA": str(data),
        "PINGPOST_FLOW": "ping_post",
        "PINGPOST_LOG_FORMAT": "json",
    }
    log = data / "pingpost.log"
    arguments = [sys.executable, "-m", "workers.cli", "up", "--plain"]
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603 - our own command
            arguments, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **buyer, **demo}
        )
    try:
        yield _ready(process, log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def _ready(process: subprocess.Popen[bytes], log: Path) -> dict[str, Any]:
    deadline = time.monotonic() + START_S
    with console.status("starting broker, sandbox buyer, workers, beat and Flower"), log.open() as lines:
        text = ""
        while time.monotonic() < deadline and process.poll() is None:
            text += lines.read()
            *whole, text = text.split("\n")
            for line in whole:
                if '"up.ready"' in line:
                    found: dict[str, Any] = json.loads(line)
                    return found
            # A file tells nobody that it grew: looked at until the line is there, for START_S at most.
            time.sleep(0.05)
    raise SystemExit(f"pingpost did not get ready; see {log}:\n" + "".join(log.read_text().splitlines(True)[-5:]))


def _sell(broker_url: str, sent: list[Sample]) -> dict[str, dict[str, Any]]:
    outcomes: dict[str, dict[str, Any]] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Producer(broker_url) as producer, Progress(*columns, console=console) as progress:
        bar = progress.add_task("leads with an outcome", total=len(sent))
        futures = [producer.submit(sample.lead) for sample in sent]
        try:
            for future in as_completed(futures, timeout=OUTCOMES_S):
                outcome = future.result()
                outcomes[outcome["lead_id"]] = outcome
                progress.advance(bar)
        except TimeoutError:
            console.print(f"[red]after {OUTCOMES_S} s some leads have no outcome")
    return outcomes


def _faults(sent: list[Sample], outcomes: dict[str, dict[str, Any]], run: str, sandbox: str) -> list[str]:
    """Compare what the producer was told with the scenario, and with the sandbox's own book, to the cent."""
    faults = []
    for sample in sent:
        lead_id = sample.lead["lead_id"]
        told = outcomes.get(lead_id, {}).get("status", "no outcome")
        if told not in sample.expected.split(" or "):
            faults.append(f"{lead_id}: {told}, expected {sample.expected}")
    capped = sum(outcome["status"] == "capped" for outcome in outcomes.values())
    if capped != CAPPED:
        faults.append(f"{capped} leads met the cap, expected {CAPPED}")
    book = requests.get(f"{sandbox}/_sandbox/book", timeout=10).json()
    theirs = {sale["customid"]: (sale["token"], Decimal(sale["price"])) for sale in book["sales"]}
    ours = {
        outcome["lead_id"]: (outcome.get("token"), Decimal(outcome["price"]))
        for outcome in outcomes.values()
        if outcome["status"] == "sold"
    }
    if ours != {lead_id: sale for lead_id, sale in theirs.items() if lead_id.startswith(run)}:
        faults.append("our sales are not those of the sandbox's book")
    faults.extend(f"the sandbox saw {len(book[name])} {name}" for name in ("doubles", "violations") if book[name])
    return faults


def _show(outcomes: dict[str, dict[str, Any]], faults: list[str]) -> None:
    table = Table("status", "code", "leads", "payout", title="what became of the leads")
    counts = Counter((outcome["status"], outcome.get("code")) for outcome in outcomes.values())
    payout = Decimal(0)
    for (status, code), count in sorted(counts.items(), key=lambda row: (-row[1], str(row[0]))):
        paid = sum(
            (
                Decimal(o["price"])
                for o in outcomes.values()
                if o["status"] == status == "sold" and o.get("code") == code
            ),
            Decimal(0),
        )
        payout += paid
        table.add_row(status, str(code or ""), str(count), f"$ {paid:.2f}" if paid else "")
    table.add_section()
    table.add_row("[bold]all", "", f"[bold]{len(outcomes)}", f"[bold]$ {payout:.2f}")
    console.print(table)
    if faults:
        console.print(*(f"[red]{fault}" for fault in faults), sep="\n")
    else:
        console.print(
            "[green]every lead ended as the scenario says, and the payouts equal the sandbox's own book", soft_wrap=True
        )


def _where(data: Path, facts: dict[str, Any], took_s: float) -> None:
    places: dict[str, Any] = {name: facts[name] for name in ("flower", "ledger", "broker") if name in facts}
    places |= {"log": data / "pingpost.log", "buyer's book": data / "sandbox-book.jsonl", "took": f"{took_s:.1f} s"}
    for name, place in places.items():
        console.print(f"{name:<13} {place}", soft_wrap=True)


def _until_interrupted() -> None:
    try:
        signal.pause()
    except KeyboardInterrupt:
        console.print("stopping")


if __name__ == "__main__":
    sys.exit(main())

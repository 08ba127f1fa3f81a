"""The screen of `pingpost up`: what is known becomes what a person sees."""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from ops.sandbox import Sandbox
from tasks.core.outcome import Status
from tasks.gates import Gate
from tasks.ledger.today import Waiting
from tests.integration.installation import KEY, lead, wait_for
from workers.part import State
from workers.producer import Producer
from workers.screen import screen
from workers.watching import TROUBLES, Look, Trouble, Troubles

AT = datetime(2026, 11, 26, 18, 30, tzinfo=UTC)
PARTS = [("broker", State.READY, 11, 1), ("ping1", State.READY, 12, 3), ("post1", State.WAITING, None, 1)]


def shown(look: Look | None, *, troubles: tuple[Trouble, ...] = (), places: Mapping[str, str] | None = None) -> str:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(screen(PARTS, places or {}, look, troubles))
    return console.export_text()


def test_before_everything_is_ready_the_parts_are_all_there_is_to_see():
    text = shown(None)
    assert "broker" in text
    assert "started\N{NO-BREAK SPACE}3\N{NO-BREAK SPACE}times" in text
    assert "waiting" in text
    assert "queues" not in text


def test_the_day_the_queues_and_the_gates_are_told_in_words_and_numbers():
    look = Look(
        counts={Status.SOLD: 1200, Status.REJECTED: 300},
        payout_micros=14_400_500_000,
        by_second=((0, 0),) * 50 + ((40, 30),) * 10,
        waiting=Waiting(7, 1900),
        gates=(
            Gate("buyer", closed=False, calls_per_s=38.8),
            Gate("category:16001", True, 4000, "Daily Cap reached", AT, AT, 230),
        ),
        depths={"leads": 0, "ping": 120, "post": 3},
    )
    text = shown(look, places={"flower": "http://127.0.0.1:5555"})
    for words in (
        "40.0 leads/s   30.0 sold/s",
        "most 40/s",
        r"sold +1,200 80.0 % \$ 14,400.50",
        "rejected +300 20.0 %",
        "ping +120",
        r"no outcome yet +7 +oldest 1.9 s",
        "buyer +open +38.8 calls a second",
        "category:16001 +closed +4000 Daily Cap reached; 230 turned away; until 11-26",
        "last warnings and errors",
        "none",
        "http://127.0.0.1:5555",
    ):
        assert re.search(words, text), (words, text)
    assert max(map(len, text.splitlines())) <= 80


def test_what_cannot_be_read_is_named_and_words_of_strangers_are_no_markup():
    trouble = Trouble(AT.isoformat(), "error", "post1", "alarm", "L-1", "[red]the buyer's own words[/red]")
    text = shown(Look(missing=("ledger", "gates")), troubles=(trouble,))
    assert "cannot be read now: ledger, gates" in text
    assert "[red]the buyer's own words[/red]" in text
    assert "all open" in text


def test_the_last_warnings_and_errors_of_all_parts_are_remembered():
    """And no other lines, whatever stands in them."""
    troubles = Troubles()
    troubles.take(
        "ping1", [b'{"event": "alarm", "level": "error", "reason": "first"}', b"warning: no JSON", b'["error"]']
    )
    troubles.take("post1", [b'{"event": "buyer.call", "level": "info", "reason": "an error"}'])
    assert [(one.part, one.event, one.reason) for one in troubles] == [("ping1", "alarm", "first")]
    troubles.take("post1", [b'{"event": "gate.closed", "level": "warning", "lead_id": null}'] * TROUBLES)
    assert {one.event for one in troubles} == {"gate.closed"}


@pytest.mark.timeout(120)
def test_on_a_terminal_leads_are_seen_to_be_sold(tmp_path: Path):
    """A real terminal: the parts, then the day's sales and payout, and a clean end with Ctrl-C."""
    ours, theirs = pty.openpty()
    seen = bytearray()
    with Sandbox() as buyer:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PINGPOST_")},
            "PINGPOST_DATA": str(tmp_path / "data"),
            "PINGPOST_PARTNER_ID": "XYZ",
            "PINGPOST_KEY": KEY,
            "PINGPOST_SUBID": "123",
            "TERM": "xterm-256color",
            "COLUMNS": "100",
            "LINES": "50",
            **buyer.environment(),
        }
        argv = [sys.executable, "-m", "workers.cli", "up", "--no-flower"]
        process = subprocess.Popen(argv, env=environment, cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)

        def read() -> str:
            try:
                seen.extend(os.read(ours, 65536))
            except OSError:
                assert process.poll() is None, seen[-2000:]
            return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode(errors="replace"))

        try:
            wait_for(lambda: "the buyer's day" in read(), 60, lambda: seen.decode(errors="replace")[-2000:])
            with Producer((tmp_path / "data" / "broker-url").read_text().strip()) as producer:
                futures = [producer.submit(lead(f"s-{number}")) for number in range(3)]
                assert {future.result(timeout=30)["status"] for future in futures} == {"sold"}
            wait_for(lambda: re.search(r"sold +3 100.0 % \$ 28.50", read()), 20, lambda: read()[-3000:])
        finally:
            process.send_signal(signal.SIGINT)
            while process.poll() is None:
                try:
                    os.read(ours, 65536)
                except OSError:
                    break
            assert process.wait(60) == 0
            os.close(ours)

"""`pingpost lead`: the whole story, without the caller."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tasks.core.callreport import CallReport
from tasks.core.outcome import Status
from tasks.core.protocol import Call
from tasks.core.states import State
from tasks.ledger import Ledger, Move
from tasks.ledger.rows import from_ms
from tests.ledger.stories import AGAIN, SALE, age, bring, columns, end, exchange, sold, take_in

Run = Callable[..., Result]


def test_a_sale_is_shown_step_by_step(ledger: Ledger, run: Run):
    mine = bring(ledger, State.POSTING, reply="answers")
    ledger.settle(mine, exchange(Call.POST, SALE), sold(mine))
    shown = run("lead", "L1")
    assert shown.exit_code == 0
    for words in ("ping 1", "post 1", "bid", "sale", "token-1", "quoted 12.50", "confirmed 12.00", "answers", "***23"):
        assert words in shown.stdout
    assert SALE.phone_number not in shown.stdout
    assert "Zebulon" not in shown.stdout


def test_a_waiting_lead_says_for_what_and_why(ledger: Ledger, run: Run):
    mine = bring(ledger, State.PINGING)
    values = {"last_code": 1000, "last_reason": "Server under maintenance"}
    ledger.settle(mine, exchange(Call.PING, AGAIN), Move(State.RECEIVED, 60_000, values=values))
    shown = run("lead", "L1").stdout
    assert "refusal" in shown
    assert "waits for the next ping, due " in shown
    assert "since 1000 Server under maintenance" in shown


def test_a_late_sale_on_an_unknown_lead_is_shown_as_late(ledger: Ledger, run: Run):
    mine = bring(ledger, State.POSTING)
    ledger.move(mine, end(mine, Status.UNKNOWN, reason="the answer never came"))
    ledger.settle(mine, exchange(Call.POST, SALE), sold(mine))
    shown = run("lead", "L1").stdout
    assert "sale (too late)" in shown
    assert "unknown" in shown


def test_json_is_one_object_without_what_is_not_known(ledger: Ledger, run: Run):
    mine = bring(ledger, State.POSTING, reply="answers")
    ledger.settle(mine, exchange(Call.POST, SALE), sold(mine))
    told = json.loads(run("lead", "L1", "--json").stdout)
    assert (told["lead_id"], told["state"], told["status"], told["price_quoted"]) == ("L1", "sold", "sold", "12.50")
    assert told["phone_number"] == "***23"
    assert "last_code" not in told
    assert [(it["call"], it["number"], it["result"]) for it in told["attempts"]] == [
        ("ping", 1, "bid"),
        ("post", 1, "sale"),
    ]
    assert told["replies"] == [{"medium": "queue", "address": "answers", "replayed": False}]
    assert told["waits_for"].startswith("its outcome")


def test_a_message_that_was_invalid_is_told_though_it_never_was_a_lead(ledger: Ledger, run: Run):
    ledger.refuse("L1", "zipcode: required")
    shown = run("lead", "L1")
    assert (shown.exit_code, "zipcode: required" in shown.stdout) == (0, True)
    assert json.loads(run("lead", "L1", "--json").stdout)["refusals"][0]["reason"] == "zipcode: required"


def test_the_buyer_s_words_are_no_markup(ledger: Ledger, run: Run):
    mine = bring(ledger, State.POSTING)
    ledger.move(mine, end(mine, Status.REJECTED, reason="[red]no[/red] [/nothing]"))
    assert "[red]no[/red] [/nothing]" in run("lead", "L1").stdout


def test_an_unknown_id_is_one_clear_line(ledger: Ledger, run: Run):
    take_in(ledger)
    shown = run("lead", "L2")
    assert (shown.exit_code, shown.stdout, shown.stderr) == (1, "", "pingpost lead: no lead 'L2'\n")


def test_where_there_is_no_ledger_none_is_made(data: Path, run: Run):
    shown = run("lead", "L1")
    assert shown.exit_code == 1
    assert shown.stderr.startswith("pingpost lead: no ledger at ")
    assert not data.exists()


@pytest.mark.parametrize("command", [["lead", "L1"], ["report"]])
def test_a_ledger_that_cannot_be_read_is_one_clear_line(
    data: Path, run: Run, monkeypatch: pytest.MonkeyPatch, command: list[str]
):
    monkeypatch.setenv("PINGPOST_LEDGER_URL", "postgresql+psycopg://somebody:secret@127.0.0.1:1/none")
    shown = run(*command)
    assert shown.exit_code == 1
    assert shown.stderr.startswith(f"pingpost {command[0]}: the ledger cannot be read: ")
    assert len(shown.stderr.splitlines()) == 1
    assert "secret" not in shown.stderr


@pytest.mark.parametrize("command", [["lead", "L1"], ["report"]])
def test_bad_settings_are_named(data: Path, run: Run, monkeypatch: pytest.MonkeyPatch, command: list[str]):
    monkeypatch.setenv("PINGPOST_LEDGER_URL", "mysql://nobody")
    shown = run(*command)
    assert shown.exit_code == 2
    assert "PINGPOST_LEDGER_URL" in shown.stderr


@pytest.mark.parametrize("command", ["lead", "report"])
def test_help_tells_the_exit_codes(run: Run, command: str):
    shown = run(command, "--help")
    assert "Exit codes:" in shown.stdout
    assert "  1  " in shown.stdout


def test_a_lead_that_was_told_waits_for_nothing(ledger: Ledger, run: Run):
    bring(ledger, State.SOLD)
    untold = ledger.untold_of("L1")
    assert untold is not None
    ledger.mark_told(untold)
    age(ledger, 60_000, "ended_at")
    assert "waits for" not in run("lead", "L1").stdout


def test_a_sold_lead_says_what_became_of_its_call_and_whether_its_payout_is_due(ledger: Ledger, run: Run):
    bring(ledger, State.SOLD)
    nobody = "payout    12.00 open: upstream has not told what became of the call"
    assert nobody in run("lead", "L1").stdout
    assert json.loads(run("lead", "L1", "--json").stdout)["payout"] == {"standing": "open", "price": "12.00"}
    at = from_ms(columns(ledger)["ended_at"])
    ledger.keep_reports([CallReport("L1", at, 90_000), CallReport("L1", at, 75_250)])
    shown = run("lead", "L1").stdout
    assert f"call      forwarded {at:%Y-%m-%d %H:%M:%S}.000, 90 s (told " in shown
    assert "a later report counts)" in shown
    assert ".000, 75.25 s (told " in shown
    assert "payout    12.00 lost: too short, the buyer asks for 90 s" in shown
    told = json.loads(run("lead", "L1", "--json").stdout)
    assert told["payout"] == {"standing": "lost", "why": "too short", "price": "12.00"}
    assert [(it["duration_s"], it["standing"], it["counts"]) for it in told["call_reports"]] == [
        (90.0, "due", False),
        (75.25, "lost", True),
    ]


def test_a_call_that_was_never_forwarded_is_shown_as_one(ledger: Ledger, run: Run):
    bring(ledger, State.SOLD)
    ledger.keep_reports([CallReport("L1", None, 0)])
    shown = run("lead", "L1").stdout
    assert "call      never forwarded (told " in shown
    assert "payout    12.00 lost: not forwarded" in shown


@pytest.mark.parametrize(("state", "test"), [(State.UNKNOWN, False), (State.REJECTED, False), (State.SOLD, True)])
def test_where_nothing_can_be_due_no_payout_is_shown(ledger: Ledger, run: Run, state: State, test: bool):
    bring(ledger, state, test=test)
    assert "payout" not in run("lead", "L1").stdout
    assert "payout" not in json.loads(run("lead", "L1", "--json").stdout)

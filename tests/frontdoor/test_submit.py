"""``pingpost submit``, as a process, on a real broker, with somebody who answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.frontdoor.house import lead
from tests.frontdoor.test_producer import Respond, respond
from tests.frontdoor.wire import Wire

__all__ = ["respond"]

HEADER = "lead_id,numcategory,transfer_type,zipcode,subid\n"
Submit = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def submit(wire: Wire, redis_url: str, tmp_path: Path) -> Submit:
    """Run the command in an empty folder."""

    def run(*arguments: str, stdin: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith("PINGPOST_")}
        env |= {"PINGPOST_BROKER_URL": wire.url, "PINGPOST_STATE_URL": redis_url, **settings}
        argv = [sys.executable, "-m", "workers.cli", "submit", *arguments]
        return subprocess.run(
            argv, cwd=tmp_path, env=env, input=stdin, capture_output=True, text=True, timeout=60, check=False
        )

    return run


def by_zip(given: dict[str, Any]) -> dict[str, Any]:
    match given["zipcode"]:
        case "10001":
            return {"status": "rejected", "code": 5000}
        case "10002":
            return {"price": "0.10", "test": True}
        case "10003":
            return {"status": "invalid", "reason": "lead_id: already used for another lead"}
        case _:
            return {"price": "12.345"}


def csv_of(*zips: str) -> str:
    return HEADER + "".join(f"L-{number},16001,1,{code},s\n" for number, code in enumerate(zips))


def test_a_csv_is_sent_waited_for_and_ends_in_a_table_with_the_payouts(
    submit: Submit, respond: Respond, tmp_path: Path
) -> None:
    respond(by_zip)
    (tmp_path / "leads.csv").write_text(csv_of("33139", "33139", "10001", "10002"))
    done = submit("leads.csv", "--wait")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "4 sent\n"
    lines = [line.replace("│", " ").split() for line in done.stdout.splitlines()]
    assert ["sold", "3", "$24.69"] in lines
    assert ["rejected", "1"] in lines
    assert ["all", "4", "$24.69"] in lines


def test_outcomes_come_one_a_line_where_a_script_asks(submit: Submit, respond: Respond, tmp_path: Path) -> None:
    respond(by_zip)
    (tmp_path / "leads.jsonl").write_text("".join(json.dumps(lead(f"J-{number}")) + "\n" for number in range(250)))
    done = submit("leads.jsonl", "--wait", "--json")
    assert done.returncode == 0, done.stderr
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert {outcome["lead_id"] for outcome in outcomes} == {f"J-{number}" for number in range(250)}


def test_invalid_rows_are_written_beside_the_file_and_the_others_are_sent(
    submit: Submit, wire: Wire, tmp_path: Path
) -> None:
    (tmp_path / "leads.csv").write_text(csv_of("33139", "331"))
    done = submit("leads.csv")
    assert (done.returncode, done.stderr) == (1, "1 sent, 1 invalid: leads.invalid.csv\n")
    assert (tmp_path / "leads.invalid.csv").read_text().splitlines() == [
        "lead_id,numcategory,transfer_type,zipcode,subid,reason",
        "L-1,16001,1,331,s,zipcode: must be a string of exactly 5 digits",
    ]
    assert wire.depth("leads") == 1


def test_a_lead_that_the_intake_finds_invalid_counts_as_invalid(
    submit: Submit, respond: Respond, tmp_path: Path
) -> None:
    respond(by_zip)
    (tmp_path / "leads.csv").write_text(csv_of("10003"))
    assert submit("leads.csv", "--wait").returncode == 1


@pytest.mark.parametrize(
    ("arguments", "stdin"),
    [(("-",), json.dumps(lead("I-1")) + "\n{}\n"), (("-", "--format", "csv"), csv_of("33139", ""))],
    ids=["jsonl", "csv"],
)
def test_standard_input_is_read(
    submit: Submit, wire: Wire, tmp_path: Path, arguments: tuple[str, ...], stdin: str
) -> None:
    done = submit(*arguments, stdin=stdin)
    assert done.returncode == 1, done.stderr
    assert wire.depth("leads") == 1
    assert len(list(tmp_path.glob("stdin.invalid.*"))) == 1


def test_leads_without_an_outcome_in_time_end_in_exit_code_3(submit: Submit, respond: Respond, tmp_path: Path) -> None:
    respond(lambda given: {} if given["lead_id"] == "L-0" else None)
    (tmp_path / "leads.csv").write_text(csv_of("33139", "33140"))
    done = submit("leads.csv", "--wait", "--timeout", "5")
    assert done.returncode == 3
    assert "1 without an outcome after 5 s" in done.stderr


def test_a_file_sent_twice_has_the_same_ids_for_its_rows(submit: Submit, respond: Respond, tmp_path: Path) -> None:
    responder = respond(by_zip)
    (tmp_path / "leads.csv").write_text("numcategory,transfer_type,zipcode,subid\n16001,1,33139,s\n16001,1,33140,s\n")
    for _ in range(2):
        assert submit("leads.csv", "--wait", "--rate", "500").returncode == 0
    ids = [given["lead_id"] for given in responder.seen]
    assert ids[:2] == ids[2:]
    assert ids[0] != ids[1]


@pytest.mark.parametrize(
    ("arguments", "settings", "why"),
    [
        (("missing.csv",), {}, "No such file"),
        (("leads.txt",), {}, "--format"),
        (("empty.csv",), {}, "no header"),
        (("-",), {"PINGPOST_BROKER_URL": "http://x"}, "PINGPOST_BROKER_URL"),
        (("-", "--rate", "0"), {}, "--rate"),
    ],
    ids=["no file", "no format", "no header", "bad setting", "bad rate"],
)
def test_what_cannot_be_done_is_said_in_a_line_with_exit_code_2(
    submit: Submit, tmp_path: Path, arguments: tuple[str, ...], settings: dict[str, str], why: str
) -> None:
    (tmp_path / "empty.csv").touch()
    done = submit(*arguments, **settings)
    assert done.returncode == 2
    assert why in done.stderr
    assert "Traceback" not in done.stderr

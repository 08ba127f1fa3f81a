"""`pingpost certify`: the buyer's test over real HTTP, against the sandbox and against buyers that nobody can read."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from ops.sandbox import Sandbox
from tasks.buyers.certification import Form, Mark
from tests.cli.conftest import Run
from tests.cli.stranger import Stranger, Write, in_capitals, in_lines, in_spanish
from workers import certifying
from workers.certification_page import open_questions
from workers.services import Wiring
from workers.settings import load

LIVE_KEY = "771f5924706521c73464341fc48afb05"
CALLER = ("John", "Doe", "8772681223", "john.doe@gmail.com")
FORMS = [*itertools.product(("form", "json", "get"), ("JSON", "XML", ""))]
STEPS = 9
PATIENT = {"PINGPOST_PING_TIMEOUT_S": "20", "PINGPOST_CONNECT_TIMEOUT_S": "20"}  # a slow machine proves nothing


@pytest.fixture
def point(data: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Points the command at a buyer, with a live key that must never be seen."""

    def pointed(environment: Mapping[str, str]) -> None:
        given = {"PINGPOST_PARTNER_ID": "XYZ", "PINGPOST_KEY": LIVE_KEY, **PATIENT, **environment}
        for name, value in given.items():
            monkeypatch.setenv(name, value)

    return pointed


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A buyer that keeps to its page."""
    with Sandbox({}) as buyer:
        yield buyer


def _told(done: Result) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The steps and the verdict of a run with --json."""
    *steps, verdict = [json.loads(line) for line in done.stdout.splitlines()]
    return steps, verdict


def _shows_no_secret(*texts: str) -> None:
    for secret in (LIVE_KEY, "test_mode", *CALLER):
        assert not any(re.search(rf"\b{re.escape(secret)}\b", text) for text in texts), secret


@pytest.mark.parametrize(("method", "resptype"), FORMS)
def test_a_buyer_that_keeps_to_its_page_is_a_yes(
    run: Run, point: Any, data: Path, sandbox: Sandbox, method: str, resptype: str
) -> None:
    """Each call is asked for a yes and a no, in the form that is set, and the page says that all was right."""
    point({**sandbox.environment(), "PINGPOST_METHOD": method, "PINGPOST_RESPTYPE": resptype})
    done = run("certify", "--json")
    steps, verdict = _told(done)
    assert done.exit_code == 0, done.output
    assert verdict["go_live"] is True
    assert len(steps) == STEPS
    assert {step["verdict"] for step in steps} == {"right"}
    assert {(step["method"], step["resptype"]) for step in steps} == {(method, resptype)}
    assert {step["read"]["reading"] for step in steps} == {"bid", "sale", "refusal"}
    assert {call["method"] for call in sandbox.book(calls=True)["calls"]} == {method}
    assert sandbox.book()["violations"] == []
    page = (data / "certification.html").read_text()
    assert page.count("as expected") == 2 * STEPS  # in the table, and at each call
    _shows_no_secret(done.output, page)


def test_all_forms_are_tried_where_that_is_asked_for(run: Run, point: Any, sandbox: Sandbox) -> None:
    """Nine forms, the one that is set first; the others are told as working too."""
    point({**sandbox.environment(), "PINGPOST_METHOD": "get"})
    steps, verdict = _told(run("certify", "--all", "--json"))
    forms = [(step["method"], step["resptype"]) for step in steps[::STEPS]]
    assert (len(forms), len(set(forms)), forms[0]) == (9, 9, ("get", "JSON"))
    assert sum(remark.startswith("the form") for remark in verdict["remarks"]) == 8


def test_the_screen_shows_each_answer_beside_its_reading_and_ends_with_yes(
    run: Run, point: Any, data: Path, sandbox: Sandbox
) -> None:
    """And nothing of the run is in a ledger: none was made."""
    point(sandbox.environment())
    done = run("certify")
    assert done.exit_code == 0
    beside = next(line for line in done.stdout.splitlines() if '"errorCode": 5000' in line)
    assert "reading: refusal" in beside
    assert "GO LIVE: YES  (flow ping_post, form, JSON)" in done.stdout
    assert f"the page for the buyer: {data / 'certification.html'}" in done.stdout
    _shows_no_secret(done.output)
    assert [file.name for file in data.iterdir()] == ["certification.html"]


@pytest.mark.parametrize("write", [in_spanish, in_capitals, in_lines])
def test_the_mapping_that_is_proposed_makes_the_second_run_pass(
    run: Run, point: Any, tmp_path: Path, write: Write
) -> None:
    """No answer can be read at first; with the file put into the settings each is, to the value. The key, which the
    buyer says back in each answer, is shown nowhere."""
    mapping, page = tmp_path / "mapping.toml", tmp_path / "page.html"
    with Stranger(write) as buyer:
        point(buyer.environment())
        first = run("certify", "--json", "--mapping-out", str(mapping), "--page", str(page))
        steps, verdict = _told(first)
        assert first.exit_code == 1
        assert verdict["go_live"] is False
        assert "right" not in {step["verdict"] for step in steps if step["read"]["reading"] != "refusal"}
        assert verdict["proposal"]["would_not_read"] == 0
        assert "match" not in verdict["proposal"]["toml"]  # said back, and no status
        assert mapping.read_text() == verdict["proposal"]["toml"]
        assert "Is this how your answers are to be read?" in page.read_text()
        _shows_no_secret(first.output, page.read_text(), mapping.read_text())

        buyer.sold.clear()
        point({"PINGPOST_MAPPING": str(mapping)})
        second = run("certify", "--json", "--page", str(page))
        steps, verdict = _told(second)
        assert second.exit_code == 0, second.output
        assert (verdict["go_live"], verdict["reasons"], verdict["proposal"]) == (True, [], None)
        _shows_no_secret(second.output, page.read_text())
    sales = [step["read"] for step in steps if step["read"]["reading"] == "sale"]
    assert [(sale["phone_number"], float(sale["price"])) for sale in sales] == [
        (sold["number"], float(sold["price"])) for sold in buyer.sold
    ]
    assert {step["read"]["duration_s"] for step in steps if step["read"]["reading"] == "bid"} == {90}
    assert {step["read"]["code"] for step in steps if step["read"]["reading"] == "refusal"} == {5000}


@pytest.mark.parametrize("layout", ["foreign_json", "opaque_xml"])
def test_the_sandbox_s_strangers_pass_in_the_second_run_too(
    run: Run, point: Any, tmp_path: Path, sandbox: Sandbox, layout: str
) -> None:
    sandbox.play({"layout": layout})
    point(sandbox.environment())
    mapping = tmp_path / "mapping.toml"
    assert run("certify", "--mapping-out", str(mapping)).exit_code == 1
    point({"PINGPOST_MAPPING": str(mapping)})
    assert run("certify").exit_code == 0


def test_the_screen_proposes_a_mapping_and_says_no(run: Run, point: Any, sandbox: Sandbox) -> None:
    """It says why, and that a person must confirm it."""
    sandbox.play({"layout": "foreign_json"})
    point(sandbox.environment())
    done = run("certify")
    assert done.exit_code == 1
    assert "a person must confirm it" in done.stdout
    assert 'phone_number = ["antwort/rufziel/nummer"]' in done.stdout
    assert "It would read all 9 answers as what was asked for." in done.stdout
    assert "GO LIVE: NO" in done.stdout
    assert "since: ping, accepted: cannot be read" in done.stdout


def test_a_mapping_that_may_be_in_use_is_not_written_over(run: Run, point: Any, tmp_path: Path) -> None:
    """Nothing is asked of the buyer then."""
    mapping = tmp_path / "mapping.toml"
    mapping.write_text('[mapping]\nstatus = ["verdict"]\n')
    with Stranger(in_lines) as buyer:
        point({**buyer.environment(), "PINGPOST_MAPPING": str(mapping)})
        done = run("certify", "--mapping-out", str(mapping))
        assert buyer.sold == []
    assert done.exit_code == 2
    assert mapping.read_text() == '[mapping]\nstatus = ["verdict"]\n'


def test_a_page_that_cannot_be_written_is_one_line(run: Run, point: Any, tmp_path: Path, sandbox: Sandbox) -> None:
    point(sandbox.environment())
    done = run("certify", "--json", "--page", str(tmp_path / "nowhere" / "page.html"))
    assert done.exit_code == 2
    assert done.stderr == f"pingpost certify: cannot write {tmp_path}/nowhere/page.html: No such file or directory\n"


def test_without_an_endpoint_of_the_flow_it_is_a_no_that_names_the_variable(
    run: Run, point: Any, sandbox: Sandbox
) -> None:
    """What works besides is told: another flow may be set."""
    point({**sandbox.environment(), "PINGPOST_PING_URL": ""})
    done = run("certify", "--json")
    steps, verdict = _told(done)
    assert done.exit_code == 1
    assert verdict["reasons"] == [f"{call}: not tried: PINGPOST_PING_URL is not set" for call in ("ping", "post")]
    assert "the flow one_step works too" in verdict["remarks"]
    assert [step["verdict"] for step in steps if "read" not in step] == ["skipped"] * 5


def test_a_buyer_that_nobody_reaches_is_a_no(run: Run, point: Any, sandbox: Sandbox) -> None:
    """Each step says so; the posts had no bid."""
    point({**sandbox.environment(), "PINGPOST_PING_URL": "http://127.0.0.1:1/ping"})
    steps, verdict = _told(run("certify", "--json"))
    by_name = {step["step"]: step for step in steps}
    assert by_name["ping, accepted"]["read"]["reading"] == "unanswered"
    assert by_name["post, accepted"]["why"] == "not tried: there is no bid to post against"
    assert verdict["go_live"] is False


@pytest.mark.parametrize(
    ("rule", "waited", "marks"),
    [
        ({"code": 1100, "first": 2, "per": "all"}, [2.0, 4.0], {Mark.RIGHT}),
        ({"code": 1100, "first": 1, "per": "all", "retry_after_s": 3}, [3.0], {Mark.RIGHT}),
        ({"code": 1000}, [2.0, 4.0, 8.0, 16.0], {Mark.RIGHT, Mark.WRONG}),
    ],
)
def test_not_now_is_waited_for_once(
    point: Any, sandbox: Sandbox, rule: Mapping[str, Any], waited: list[float], marks: set[Mark]
) -> None:
    """A buyer that is away for a moment passes; of one that stays away each further step is told at once."""
    sandbox.play({"rules": [rule]})
    point(sandbox.environment())
    slept: list[float] = []
    taken = list(certifying.Run(Wiring(load()), sleep=slept.append).take([Form("form", "JSON")]))
    assert slept == waited
    assert {one.finding.mark for one in taken} == marks
    whys = {one.finding.why for one in taken if one.exchange and one.finding.mark is Mark.WRONG}
    assert whys <= {"1000 Server under maintenance: still, after waiting"}


def test_a_blocked_account_is_a_no(run: Run, point: Any, sandbox: Sandbox) -> None:
    """A 3000 is told as what it is."""
    sandbox.play({"rules": [{"code": 3000}]})
    point(sandbox.environment())
    _, verdict = _told(run("certify", "--json"))
    assert not verdict["go_live"]
    assert verdict["reasons"][0] == "ping, accepted: 3000 Approval Phase: that is the account's, not the lead's"


def test_what_a_stranger_writes_is_text_in_the_page(run: Run, point: Any, data: Path) -> None:
    """No element of the buyer's becomes one of the page's, and of a header there is the media type alone."""
    with Stranger(lambda *_: "<script>alert(1)</script>", content_type="text/html; key=<b>test_mode") as buyer:
        point(buyer.environment())
        assert run("certify").exit_code == 1
    page = (data / "certification.html").read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)" in page
    _shows_no_secret(page)


def test_the_questions_of_the_page_are_those_that_are_open() -> None:
    """What a setting says, or what the run has shown, is not asked any more."""
    every = open_questions((), shown=False)
    assert len(every) == 35
    assert "To which URL do pings go?" in every
    assert "To which URL do pings go?" not in open_questions({"PING_URL"}, shown=False)
    shown = set(every) - set(open_questions((), shown=True))
    assert {question.partition(",")[0] for question in shown} == {
        "One example of every answer",
        "Which HTTP statuses do you answer with? Is a refusal sent with 200?",
        "What does a rejected post say: a code",
        "Is the test key alone what makes it a test",
    }

"""What tasks/events.toml promises: the contract's names, one type a field, and that it contradicts itself nowhere."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ops.log_lines import PAGE, page
from tasks.core.money import Money
from tasks.core.outcome import Outcome, Stage, Status
from tasks.events import Event, Field, declaration
from tests.declared import undeclared
from tests.integration.installation import Log

AT = datetime(2026, 11, 23, 18, tzinfo=UTC)
BASE = {"level": "info", "timestamp": "2026-11-23T18:00:00.123456Z"}
CALL = {
    **BASE,
    "event": "buyer.call",
    "stage": "ping",
    "call": "ping",
    "lead_id": "a-1",
    "attempt": 1,
    "http_status": 200,
    "result": "bid",
    "duration_ms": 12.5,
    "token": "e69412030cc93b47cf5be6f7e3ee998c",
    "price": "12.50",
    "call_duration_s": 60,
}


def test_the_contract_s_names_are_there():
    """The contract, Log lines: whoever reads the log from outside relies on these."""
    events = declaration().events
    assert {"buyer.call", "lead.outcome", "gate.closed", "gate.opened", "cap.reset", "alarm"} <= events.keys()
    call = {*events["buyer.call"].always, *events["buyer.call"].known}
    assert {"stage", "lead_id", "attempt", "http_status", "code", "token", "price", "duration_ms"} <= call
    assert events["alarm"].level == "error"


def test_the_line_of_an_outcome_has_the_outcome_s_fields():
    """One field more in the outcome is one more here. `late` and `replayed` are of a telling, not of the outcome."""
    price = Money.parse("12.50")
    facts = (16001, "123", "c", "8005550100", AT, price, price, 60, "t", 1, "r")
    whole = Outcome("a-1", Status.SOLD, Stage.POST, AT, *facts, test=True)
    line = {**BASE, "event": "lead.outcome", **whole.message()}
    assert undeclared(line) == []
    event = declaration().events["lead.outcome"]
    assert {*event.always, *event.known} == whole.message().keys()
    least = {**BASE, "event": "lead.outcome", **Outcome("a-1", Status.INVALID, Stage.INTAKE, AT).message()}
    assert undeclared(least) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({}, None),
        ({"event": "buyer.called"}, "buyer.called: event"),
        ({"colour": "red"}, "buyer.call: colour"),
        ({"level": "warning"}, "buyer.call: level"),
        ({"lead_id": None}, "buyer.call: lead_id"),
        ({"attempt": "1"}, "buyer.call: attempt"),
        ({"attempt": True}, "buyer.call: attempt"),
        ({"price": 12.5}, "buyer.call: price"),
        ({"price": "12.5"}, "buyer.call: price"),
        ({"result": "sold"}, "buyer.call: result"),
        ({"timestamp": "yesterday"}, "buyer.call: timestamp"),
        ({"undeclared": ["colour"]}, "buyer.call: colour"),
    ],
    ids=str,
)
def test_a_line_is_held_to_its_event(change: dict[str, object], fault: str | None):
    assert undeclared({**CALL, **change}) == ([fault] if fault else [])


@pytest.mark.parametrize("name", ["stage", "call", "lead_id", "attempt", "result", "duration_ms", *BASE])
def test_what_stands_on_every_line_may_not_be_missing(name: str):
    told = undeclared({key: value for key, value in CALL.items() if key != name})
    assert f"buyer.call: {name}" in told


def test_a_library_s_line_has_its_text_its_logger_and_the_class_of_an_error():
    """Whatever its words are; but nothing else."""
    line = {**BASE, "event": "Connected to amqp://", "logger": "celery.worker", "error": "OSError"}
    assert undeclared(line) == []
    assert undeclared({**line, "lead_id": "a-1"}) == ["Connected to amqp://: lead_id"]


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (Event("a", "g", "info", "", "", ("lead_id", "nobody")), "a: nobody: no such field"),
        (Event("a", "g", "info", "", "", ("lead_id",), ("lead_id",)), "a: a field stands twice"),
        (Event("a", "g", "loud", "", "", ("lead_id",)), "a: no such level"),
        (Event("a", "g", "info", "", "", ("lead_id",), (), {"code": "x"}), "a: code: noted, and on no line"),
        (Event("a", "g", "info", "", ""), "lead_id: on no line"),
    ],
    ids=str,
)
def test_a_declaration_that_contradicts_itself_is_refused(event: Event, why: str):
    field = Field("lead_id", "text", "")
    with pytest.raises(ValueError, match=why):
        replace(declaration(), fields={"lead_id": field}, events={"a": event})


@pytest.mark.parametrize(
    ("name", "kind", "why"), [("lead_id", "colour", "lead_id: no such type"), ("logger", "text", "logger: taken")]
)
def test_a_field_that_cannot_be_is_refused(name: str, kind: str, why: str):
    """Of no type that is known; or of a name by which other lines are told apart."""
    with pytest.raises(ValueError, match=why):
        replace(
            declaration(), fields={name: Field(name, kind, "")}, events={"a": Event("a", "g", "info", "", "", (name,))}
        )


def test_the_document_is_made_of_the_declaration():
    """`make docs` writes it anew."""
    assert PAGE.read_text(encoding="utf-8") == page(declaration()), "run `make docs`"
    assert all(f"`{name}`" in PAGE.read_text() for name in (*declaration().events, *declaration().fields))


def test_the_suites_reader_of_logs_fails_on_a_line_that_is_not_declared(tmp_path: Path):
    path = tmp_path / "log"
    path.write_text(json.dumps(CALL) + "\n")
    assert Log(path).lines() == [CALL]
    path.write_text(json.dumps({**CALL, "colour": "red"}) + "\n")
    with pytest.raises(AssertionError, match="colour"):
        Log(path).lines()

"""The processor that holds lines to their declaration: in production none is lost, for developers it raises."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import structlog
from structlog.testing import capture_logs

from tasks.events import MARK, declaration
from workers.logging import Declared, UndeclaredLine

LINE = {"event": "gate.not_turned", "level": "warning", "lead_id": "a-1", "reason": "LedgerError"}
PROGRAM = """
import structlog
from workers import logging
from workers.settings import load
logging.configure(load())
log = structlog.stdlib.get_logger()
log.warning("gate.not_turned", lead_id="a-1", code=None, reason="LedgerError")
log.warning("gate.not_turned", lead_id="a-1", colour="red", reason="LedgerError")
log.info("gate.ajar")
import logging as libraries
libraries.getLogger("a.package").error("it broke", exc_info=OSError("secret"), stack_info=True, extra={"colour": "red"})
"""


def _run(**environment: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", PROGRAM]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_line_that_fits_is_left_alone():
    assert Declared(declaration())(None, "warning", dict(LINE)) == LINE


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"event": "gate.ajar"}, ["event"]),
        ({"event": ["no", "text"]}, ["event"]),
        ({"colour": "red", "code": "4000"}, ["colour", "code"]),
    ],
    ids=str,
)
def test_one_that_does_not_is_marked_and_goes_on_whole(change, told):
    """By the names of what does not fit; or, for developers, raised without any value."""
    line = {**LINE, **change}
    assert Declared(declaration())(None, "warning", dict(line)) == {**line, MARK: told}
    with pytest.raises(UndeclaredLine) as wrong:
        Declared(declaration(), raises=True)(None, "warning", dict(line))
    assert "red" not in str(wrong.value)


def test_what_a_process_writes_is_held_to_it():
    """Ours are marked where they do not fit, and none is lost; a library's line has its shape, whatever it is given."""
    done = _run()
    assert done.returncode == 0, done
    fits, coloured, ajar, foreign = map(json.loads, done.stdout.splitlines())
    assert MARK not in fits
    assert (coloured["colour"], coloured[MARK]) == ("red", ["colour"])
    assert (ajar["event"], ajar[MARK]) == ("gate.ajar", ["event"])
    assert declaration().foreign_faults(foreign) == []
    assert (foreign["event"], foreign["logger"], foreign["error"]) == ("it broke", "a.package", "OSError")


def test_with_the_setting_it_raises():
    done = _run(PINGPOST_LOG_UNDECLARED="raise")
    assert done.returncode == 1
    assert "UndeclaredLine: gate.not_turned: colour" in done.stderr
    assert len(done.stdout.splitlines()) == 1


def test_what_a_test_s_own_process_logs_is_held_to_it_captured_or_not(undeclared_lines: list[str]):
    """`tests/conftest.py` fails the test in which it is said: this one takes its own faults away."""
    log = structlog.stdlib.get_logger()
    log.warning("gate.not_turned", lead_id="a-1", reason="LedgerError")
    with capture_logs() as lines:
        log.warning("gate.not_turned", lead_id="a-1", code=None, reason="LedgerError")
    assert len(lines) == 1
    assert undeclared_lines == []
    log.info("gate.ajar")
    with capture_logs():
        log.warning("gate.not_turned", lead_id="a-1", reason="LedgerError", colour="red")
    assert undeclared_lines == ["gate.ajar: event", "gate.not_turned: colour"]
    undeclared_lines.clear()

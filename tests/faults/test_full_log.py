"""A log whose disk is full: lines are lost, and nothing else."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from workers.full_disk import in_words, lines_may_be_lost
from workers.output import Lines
from workers.part import Part

# No flush at the end of the process: what is shown is that the call after the line is reached.
CALL = """
import os, structlog
from workers.logging import configure
from workers.settings import Settings
configure(Settings())
structlog.get_logger().info("call.begun")
os.write(2, b"sold")
os._exit(0)
"""


def test_a_log_line_that_finds_the_disk_full_is_lost_and_the_call_goes_on():
    """A line that cannot be written must not look like a call that failed."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", CALL],
            stdout=full,
            stderr=subprocess.PIPE,
            env={**os.environ, "PINGPOST_LOG_FORMAT": "json"},
            check=False,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (0, b"sold")


def test_a_supervisor_whose_log_is_full_goes_on_reading_what_its_parts_say():
    """A part whose pipe nobody reads would stand still, in the midst of a sale."""
    lost: list[bool] = []
    with Path("/dev/full").open("wb", buffering=0) as full:
        lines = Lines(full, lambda _logger, _method, event: event)
        lines.on_lost = lambda: lost.append(True)
        lines.take(Part("post1", ("true",)), [b'{"event": "call.begun"}', b"no JSON"])
    assert lost == []  # which would end the whole installation


def test_only_a_full_disk_may_cost_lines():
    """Any other error of the log's stream, a reader that is gone above all, is raised."""
    with pytest.raises(BrokenPipeError), lines_may_be_lost():
        raise BrokenPipeError(errno.EPIPE, "gone")


UNREAD = """
import os, signal, sys, structlog
from workers.logging import configure
from workers.settings import Settings
signal.signal(signal.SIGTERM, lambda *_: os.write(2, b"asked to end; "))
configure(Settings())
os.read(0, 1)
for number in range(3):
    structlog.get_logger().info("call.begun")
os.write(2, b"sold")
os._exit(0)
"""


def test_a_part_whose_log_nobody_reads_any_more_finishes_its_call_and_ends():
    """Its reader died: a call under way must not look like one that failed, and no further ones are made unseen."""
    reader, writer = os.pipe()
    part = subprocess.Popen(
        [sys.executable, "-c", UNREAD],
        stdin=subprocess.PIPE,
        stdout=writer,
        stderr=subprocess.PIPE,
        env={**os.environ, "PINGPOST_LOG_FORMAT": "json"},
    )
    os.close(writer)
    os.close(reader)
    _, said = part.communicate(b"x", timeout=60)
    assert (part.returncode, said) == (0, b"asked to end; sold")


def test_an_operator_reads_where_the_disk_is_full():
    """The words name the file, and say that nothing but space is wanted."""
    assert in_words(OSError(errno.ENOSPC, "No space left", "/data/x")).startswith("no space left on /data/x:")
    assert in_words(PermissionError(errno.EACCES, "no")) == "PermissionError"

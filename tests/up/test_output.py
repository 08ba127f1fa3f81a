"""Where an up's lines go."""

from __future__ import annotations

import io
import json

import pytest

from workers.output import Lines, LogFiles
from workers.part import Part

PART = Part("worker", ("none",))


def masking(_, __, event):
    return {name: value.replace("s3cret", "***") if isinstance(value, str) else value for name, value in event.items()}


@pytest.fixture
def stream():
    return io.BytesIO()


def read(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_passes_as_it_is_and_the_rest_is_wrapped_in_order(stream):
    """A part's JSON lines pass untouched, others are wrapped, blank ones are dropped, and the order is kept."""
    lines = Lines(stream, masking)
    lines.take(PART, [b'{"event": "one"}', b"two", b"", b'{"event": "three"}'])
    told = read(stream)
    assert [line["event"] for line in told] == ["one", "part.output", "three"]
    assert (told[1]["part"], told[1]["line"]) == ("worker", "two")


def test_what_is_wrapped_is_redacted_and_bounded(stream):
    """A traceback's line may hold a secret, and may be long: it is masked and cut."""
    Lines(stream, masking).take(PART, [b"s3cret" + b"x" * 9000, b"\xff not UTF-8"])
    told = read(stream)
    assert "s3cret" not in told[0]["line"]
    assert len(told[0]["line"]) <= 2000
    assert told[1]["line"].endswith("not UTF-8")


def test_our_own_lines_have_event_level_and_time(stream):
    """Ours is one object a line, with its event, level and UTC time."""
    Lines(stream, masking).log.warning("part.died", part="a")
    (line,) = read(stream)
    assert (line["event"], line["part"], line["level"]) == ("part.died", "a", "warning")
    assert line["timestamp"].endswith("Z")


def test_each_part_has_a_file_that_is_appended_to(tmp_path):
    """Each part's lines go to its own file as they are; another run goes on where the last one ended."""
    for word in (b"one", b"two"):
        with LogFiles(tmp_path / "logs", masking) as files:
            files.take(PART, [word])
            files.log.info("up.ready")
    assert (tmp_path / "logs" / "worker.log").read_bytes() == b"one\ntwo\n"
    assert len((tmp_path / "logs" / "up.log").read_bytes().splitlines()) == 2

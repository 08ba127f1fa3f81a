"""What we write of a message is, byte for byte, what py-amqp writes."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

import pytest
from amqp import Message
from amqp.exceptions import FrameSyntaxError
from amqp.method_framing import frame_writer
from amqp.serialization import dumps
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.frames import published

TEXTS = st.text(max_size=60, alphabet=st.characters(codec=None))
HEADERS = st.dictionaries(
    st.text(max_size=20), st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=20), max_size=4
)
PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        **{name: TEXTS for name, kind in Message.PROPERTIES if kind == "s" and name != "content_encoding"},
        "content_encoding": st.just("utf-8"),
        "application_headers": HEADERS,
        "delivery_mode": st.sampled_from([1, 2]),
        "priority": st.integers(0, 9),
        "timestamp": st.integers(0, 2**40),
    },
)
SMALLEST = 4096


def by_py_amqp(message: Message, channel: int, most: int, exchange: str, routing_key: str) -> bytes:
    """What py-amqp writes to its socket for `basic_publish`."""
    written: list[bytes] = []
    transport = SimpleNamespace(write=lambda piece: written.append(bytes(piece)))
    write = frame_writer(SimpleNamespace(frame_max=most, bytes_sent=0), transport)
    write(1, channel, (60, 40), dumps("Bssbb", (0, exchange, routing_key, False, False)), message)
    return b"".join(written)


@given(
    st.binary(max_size=200) | st.integers(0, 3).map(lambda times: b"x" * (times * SMALLEST - 20)) | TEXTS,
    PROPERTIES,
    st.integers(1, 2047),
    TEXTS,
    TEXTS,
)
@example(b"", {}, 1, "", "")
@example(b"x" * (SMALLEST - 8), {"correlation_id": "c" * 255}, 1, "outcomes", "outcome.sold")
def test_the_bytes_are_py_amqp_s(
    body: Any, properties: dict[str, Any], channel: int, exchange: str, routing_key: str
) -> None:
    def message() -> Message:
        return Message(body, **properties)

    def either(write: Any) -> Any:
        try:
            return write()
        except (struct.error, UnicodeError, FrameSyntaxError) as fault:
            return type(fault)

    ours = either(
        lambda: published(message(), channel, SMALLEST, exchange=exchange, routing_key=routing_key),
    )
    assert ours == either(lambda: by_py_amqp(message(), channel, SMALLEST, exchange, routing_key))


@pytest.mark.parametrize("properties", [{"message_id": "x" * 256}, {"application_headers": {"x": object()}}])
def test_what_nobody_can_write_is_an_error(properties: dict[str, Any]) -> None:
    with pytest.raises(Exception, match=r"(?i)255|table type"):
        published(Message(b"", **properties), 1, SMALLEST, exchange="", routing_key="")

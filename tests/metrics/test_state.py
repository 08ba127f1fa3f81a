"""What is read for each answer: sources that are away, that hang, that break; and the server that answers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from redis.exceptions import ConnectionError as StoreAway
from structlog.testing import capture_logs

from ops.servers.own import free_port
from tests.metrics.test_metrics import fetch, samples
from workers.metrics import Name, State, serve
from workers.metrics.state import Read, Sample
from workers.settings import Settings, SettingsError


def there() -> Iterable[Sample]:
    """A source that answers."""
    return [(Name.PACE, (), 40)]


def read(sources: dict[str, Read]) -> dict[tuple[str, str], float]:
    """One answer."""
    return answer(State(sources, patience_s=0.5))


def answer(state: State) -> dict[tuple[str, str], float]:
    registry = CollectorRegistry()
    registry.register(state)
    return dict(samples(generate_latest(registry).decode()))


def test_what_cannot_be_read_is_left_out_and_said():
    """One source that is away takes none of the others with it, nor half of its own values."""

    def away() -> Iterable[Sample]:
        yield Name.UNTOLD, (), 1
        raise StoreAway

    found = read({"away": away, "there": there})
    assert found == {(Name.READABLE, "away"): 0, (Name.READABLE, "there"): 1, (Name.PACE, ""): 40}


def test_a_fault_of_ours_takes_no_other_value_with_it():
    def broken() -> Iterable[Sample]:
        raise KeyError("Zebulon")

    with capture_logs() as lines:
        found = read({"broken": broken, "there": there})
    assert (found[Name.READABLE, "broken"], found[Name.PACE, ""]) == (0, 40)
    assert [(line["event"], line["what"], line["cause"]) for line in lines] == [("metrics.fault", "broken", "KeyError")]


def test_a_source_that_hangs_is_not_waited_for_and_no_second_reader_joins_it():
    """The answer is there in time, again and again; and when the source is back, so are its values."""
    over, began = threading.Event(), []

    def hangs() -> Iterable[Sample]:
        began.append(threading.current_thread())
        over.wait(30)
        return [(Name.UNTOLD, (), 7)]

    state = State({"hangs": hangs, "there": there}, patience_s=0.5)
    try:
        for _ in range(3):
            assert answer(state) == {(Name.READABLE, "hangs"): 0, (Name.READABLE, "there"): 1, (Name.PACE, ""): 40}
        assert len(began) == 1
    finally:
        over.set()
    began[0].join(10)
    patient = State({"hangs": hangs}, patience_s=10)
    assert answer(patient)[Name.UNTOLD, ""] == 7


def test_a_port_that_is_taken_stops_the_start_by_the_setting_s_name():
    port = free_port()
    end = serve(Settings(metrics_port=port), CollectorRegistry())
    try:
        with pytest.raises(SettingsError, match="PINGPOST_METRICS_PORT: cannot listen on"):
            serve(Settings(metrics_port=port), CollectorRegistry())
    finally:
        end()


def test_no_port_no_server():
    serve(Settings(), CollectorRegistry())()
    assert "metrics" not in {thread.name for thread in threading.enumerate()}


def test_who_says_nothing_keeps_nobody_from_an_answer(capfd):
    """Nor does who hangs up, and none of it is a line on the log."""
    registry = CollectorRegistry()
    registry.register(State({"there": there}))
    port = free_port()
    end = serve(Settings(metrics_port=port), registry)
    try:
        with socket.create_connection(("127.0.0.1", port)) as silent:
            silent.sendall(b"GET /metr")
            with socket.create_connection(("127.0.0.1", port)) as gone:
                gone.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            assert samples(fetch(f"127.0.0.1:{port}"))[Name.PACE, ""] == 40
    finally:
        end()
    assert capfd.readouterr() == ("", "")

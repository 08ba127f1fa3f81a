"""Where the parts of an up serve their metrics: a port each, told to Prometheus, and refused where one is taken."""

from __future__ import annotations

import json
import socket
import stat

import pytest

from ops.servers.own import ports_in_a_row
from workers.lineup import Choice, lineup
from workers.places import Places
from workers.settings import Settings, SettingsError
from workers.targets import FILE, check_ports, targets, tell_prometheus

PLACES = Places("redis://127.0.0.1:1/0", "redis://127.0.0.1:2/0", "sqlite:///ledger")


def test_each_part_that_serves_has_a_port_of_its_own(tmp_path):
    """In a row from the setting's on, and the very part is told it; Flower, which has its own metrics, has none."""
    settings = Settings(_env_file=None, data=tmp_path, metrics_port=9808)
    choice = Choice(workers=2, flower_port=1)
    of = {
        part.name: part.env["PINGPOST_METRICS_PORT"]
        for part in lineup(settings, PLACES, choice)
        if part.name != "flower"
    }
    assert of == {"intake": "9808", "beat": "9809", "ping1": "9810", "ping2": "9811", "post1": "9812"}
    assert targets(settings, choice) == {part: f"127.0.0.1:{port}" for part, port in of.items()}


def test_without_the_setting_nobody_serves(tmp_path):
    settings = Settings(_env_file=None, data=tmp_path)
    assert {part.env["PINGPOST_METRICS_PORT"] for part in lineup(settings, PLACES, Choice())} == {"0"}
    assert targets(settings, Choice()) == {}


@pytest.mark.parametrize(("address", "host"), [("0.0.0.0", "127.0.0.1"), ("::1", "[::1]"), ("10.0.0.7", "10.0.0.7")])
def test_prometheus_is_told_an_address_that_it_can_ask(address, host):
    settings = Settings(_env_file=None, metrics_port=9808, metrics_address=address)
    assert targets(settings, Choice())["intake"] == f"{host}:9808"


def test_the_file_is_prometheus_own_format_and_goes_with_the_setting(tmp_path):
    """Its owner alone reads it, as all of the data folder."""
    tell_prometheus(tmp_path, {"intake": "127.0.0.1:9808", "beat": "127.0.0.1:9809"})
    assert json.loads((tmp_path / FILE).read_text()) == [
        {"targets": ["127.0.0.1:9808"], "labels": {"part": "intake"}},
        {"targets": ["127.0.0.1:9809"], "labels": {"part": "beat"}},
    ]
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    tell_prometheus(tmp_path, {})
    tell_prometheus(tmp_path, {})
    assert not (tmp_path / FILE).exists()


def test_a_port_that_is_taken_is_named_before_anything_starts():
    first = ports_in_a_row(4)
    settings = Settings(_env_file=None, metrics_port=first)
    check_ports(settings, Choice())
    named = pytest.raises(SettingsError, match=f"METRICS_PORT: {first + 2} is taken .* {first} to {first + 3}")
    with socket.create_server(("127.0.0.1", first + 2)), named:
        check_ports(settings, Choice())
    with pytest.raises(SettingsError, match="METRICS_PORT: 65536 is no port"):
        check_ports(Settings(_env_file=None, metrics_port=65534), Choice())

"""No text that a program makes of its own objects, their representations and errors, holds the key or a password."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from tasks.buyers.http import BuyerConfig, HttpBuyer
from tasks.buyers.port import Offer
from tasks.buyers.registry import load_mapping, load_protocol
from tasks.core.protocol import Call
from tests.secrets.tattler import TattlingBuyer
from workers.logging import MASK, Redaction, secrets_of
from workers.services import Wiring
from workers.settings import Settings, SettingsError, load

KEY = "live-key-771f5924706521c7"
PASSWORDS = ("broker-0b7d1f", "state-0b7d1f", "ledger-0b7d1f", "door-0b7d1f")
URLS = {
    "broker_url": f"amqp://us:{PASSWORDS[0]}@127.0.0.1:9//",
    "state_url": f"redis://:{PASSWORDS[1]}@127.0.0.1:9/0",
    "ledger_url": f"postgresql+psycopg://us:{PASSWORDS[2]}@127.0.0.1:9/ledger",
    "ping_url": f"http://us:{PASSWORDS[3]}@127.0.0.1:9/ping",
}
VARIABLES = {f"PINGPOST_{name.upper()}": url for name, url in URLS.items()}
FIELDS = {
    "zipcode": "33139",
    "numcategory": "16001",
    "firstname": "Hildegard",
    "telephone": "8772681223",
}


def settings(folder: Path, **changed: Any) -> Settings:
    return Settings(_env_file=None, data=folder, partner_id="XYZ", key=KEY, **{**URLS, **changed})


def hidden(text: str) -> None:
    shown = [secret for secret in (KEY, *PASSWORDS) if secret in text]
    assert shown == [], text


def test_no_representation_of_settings_and_wiring_shows_a_secret(tmp_path: Path):
    """Whatever a debugger, a traceback with locals or a log line makes of them."""
    given = settings(tmp_path)
    wiring = Wiring(given)
    for thing in (given, given.key, wiring, wiring.buyer_config, wiring.broker):
        hidden(repr(thing))
        hidden(str(thing))
        hidden(f"{thing}")
    hidden(repr(wiring.__dict__))


@pytest.mark.parametrize("name", [*VARIABLES, "PINGPOST_DEADLINE_S"])
def test_no_error_of_the_settings_shows_a_secret(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """An URL that breaks a rule is named by its variable, and never quoted."""
    monkeypatch.chdir(tmp_path)
    for variable, url in {**VARIABLES, "PINGPOST_KEY": KEY}.items():
        monkeypatch.setenv(variable, url)
    monkeypatch.setenv(name, VARIABLES.get(name, f"x://us:{KEY}@").replace("://", "x://"))
    with pytest.raises(SettingsError) as wrong:
        load()
    assert name in str(wrong.value)
    hidden(str(wrong.value) + repr(wrong.value))


@pytest.mark.parametrize("text", [KEY, *URLS.values()])
def test_a_line_of_the_log_that_holds_a_secret_is_masked(text: str, tmp_path: Path):
    """Whoever logs a URL or the key, a library too: its secret does not leave."""
    redact = Redaction(frozenset(), secrets_of(settings(tmp_path)))
    line = redact(None, "", {"event": f"cannot connect to {text}"})
    hidden(line["event"])
    assert MASK in line["event"]


@pytest.mark.parametrize("method", ["form", "json", "get"])
@pytest.mark.parametrize("there", [True, False])
def test_libraries_that_speak_at_debug_are_told_no_secret(method: Any, there: bool, caplog: pytest.LogCaptureFixture):
    """urllib3 logs a GET's URL and names it in its errors: the query is kept from it."""
    caplog.set_level(logging.DEBUG)
    with TattlingBuyer() as answering:
        url = answering.url if there else "http://127.0.0.1:9"
        endpoint = f"{url.replace('//', f'//us:{PASSWORDS[3]}@')}/ping"
        config = BuyerConfig("XYZ", KEY, {Call.PING: endpoint}, method=method)
        buyer = HttpBuyer(load_protocol(), load_mapping(), config)
        offer = Offer(customid="C-1", fields={**FIELDS, "zipcode": "00101"})
        exchange = buyer.ask(Call.PING, offer, 2.0)
        buyer.close()
    hidden(caplog.text + repr(exchange) + repr(config) + repr(buyer) + repr(buyer.__dict__))
    assert "8772681223" not in caplog.text
    assert (exchange.http_status == 200) is there

"""What a URL may say of TLS."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from workers.settings import Settings, SettingsError, load
from workers.tls import apart


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    file = tmp_path / "ca.pem"
    file.touch()
    return file


@pytest.mark.parametrize("variable", ["broker_url", "state_url"])
@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("ssl_cert_reqs=none", "ssl_cert_reqs cannot be set: certificate and host name are always checked"),
        ("ssl_cert_reqs=CERT_NONE", "ssl_cert_reqs cannot be set"),
        ("ssl_check_hostname=false", "ssl_check_hostname cannot be set"),
        ("ssl_ca_certs=/no/such.pem", "ssl_ca_certs: no such file: /no/such.pem"),
    ],
)
def test_what_would_weaken_the_checks_is_refused_by_name(variable: str, query: str, wrong: str):
    with pytest.raises(SettingsError) as refused:
        load(**{variable: f"rediss://:s3cret@host:1/0?{query}"})
    assert f"PINGPOST_{variable.upper()}: {wrong}" in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_files_for_a_way_that_is_not_encrypted_are_refused(authority: Path):
    """Who names an authority believes that the way is encrypted."""
    with pytest.raises(SettingsError, match="PINGPOST_BROKER_URL: ssl_ca_certs needs one of amqps://, rediss://"):
        load(broker_url=f"amqp://host//?ssl_ca_certs={authority}")


def test_amqp_s_library_gets_its_own_words_and_is_told_to_check_the_name(authority: Path):
    url, tls = apart(f"amqps://u:p%2F@host:5671/vhost?heartbeat=5&ssl_ca_certs={authority}")
    assert url == "amqps://u:p%2F@host:5671/vhost?heartbeat=5"
    assert tls == {"server_hostname": "host", "cert_reqs": ssl.CERT_REQUIRED, "ca_certs": str(authority)}


def test_redis_s_library_gets_its_own_words(authority: Path):
    url, tls = apart(f"rediss://host:1/0?ssl_ca_certs={authority}&ssl_certfile=a&ssl_keyfile=b")
    assert url == "rediss://host:1/0"
    assert tls == {
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
        "ssl_ca_certs": str(authority),
        "ssl_certfile": "a",
        "ssl_keyfile": "b",
    }


@pytest.mark.parametrize("url", ["amqp://guest:guest@host//", "redis://host/0", "redis+socket:///a?virtual_host=1"])
def test_a_url_that_is_not_encrypted_stays_as_it_is(url: str):
    assert apart(url) == (url, None)
    assert Settings(_env_file=None, broker_url=url).broker_url == url

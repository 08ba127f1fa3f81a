"""ops/docker/make-secrets.sh: it makes what docker-compose.yml names, and spoils nothing that is there."""

from __future__ import annotations

import json
import stat
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.compose.composefile import ROOT, read
from workers.settings import Settings

SCRIPT = ROOT / "ops" / "docker" / "make-secrets.sh"


def _make(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", str(SCRIPT), str(folder)], capture_output=True, text=True, check=False)


def _files(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text().strip() for path in folder.iterdir()}


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder of secrets."""
    folder = tmp_path / "secrets"
    assert _make(folder).returncode == 0
    return folder


def test_it_makes_every_secret_of_the_file_and_no_other(made: Path):
    assert set(_files(made)) == {Path(secret["file"]).name for secret in read()["secrets"].values()}


def test_the_folder_is_its_owners_and_the_files_can_be_read_by_a_containers_user(made: Path):
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in made.iterdir()} == {0o644}


def test_each_url_is_a_good_setting_and_holds_its_servers_password(made: Path):
    files = _files(made)
    settings = Settings(
        broker_url=files["broker_url"], state_url=files["state_url"], ledger_url=files["ledger_url"], _env_file=None
    )
    passwords = [urlsplit(str(url)).password for url in (settings.broker_url, settings.state_url, settings.ledger_url)]
    users = {user["name"]: user for user in json.loads(files["rabbitmq_definitions.json"])["users"]}
    assert users["pingpost"]["password"] == passwords[0]
    assert users["producer"]["password"] == urlsplit(files["producer_url"]).password
    assert {user["tags"] for user in users.values()} == {""}
    assert files["valkey.conf"] == f"requirepass {passwords[1]}"
    assert files["postgres_run_password"] == passwords[2]
    assert files["postgres_password"] == urlsplit(files["ledger_owner_url"]).password
    assert len(set(passwords)) == 3
    assert all(len(str(password)) == 48 for password in passwords)


def test_each_url_leads_to_a_service_of_the_file(made: Path):
    hosts = {name: urlsplit(text).hostname for name, text in _files(made).items() if name.endswith("_url")}
    assert hosts == {
        "broker_url": "rabbitmq",
        "producer_url": "rabbitmq",
        "state_url": "valkey",
        "ledger_url": "postgres",
        "ledger_owner_url": "postgres",
    }


def test_a_second_run_changes_nothing(made: Path):
    (made / "buyer_key").write_text("live\n")
    before = _files(made)
    assert _make(made).returncode == 0
    assert _files(made) == before


def test_half_of_a_pair_is_refused_by_name(made: Path):
    (made / "state_url").unlink()
    again = _make(made)
    assert again.returncode == 1
    assert "valkey.conf" in again.stderr
    assert "state_url" in again.stderr

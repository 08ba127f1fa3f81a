"""What docker-compose.yml promises, read from the file itself."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest

from tasks.steps import LEDGER_PATIENCE_S
from tests.compose.composefile import DOCKERFILE, FILE, ROOT, SECRETS, is_ours, read, seconds
from workers.cli import COMMANDS
from workers.settings import PREFIX, Settings
from workers.settings import SECRETS as SECRET_SETTINGS
from workers.topology import task_queues

COMPOSE = read()
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SERVERS = ("rabbitmq", "valkey", "postgres")
OURS = tuple(name for name, service in SERVICES.items() if is_ours(service))
ONCE = ("migrate",)
SELLING = ("intake", "worker", "worker-post")
ENV_EXAMPLE = (ROOT / ".env.example").read_text()


def test_the_file_keeps_the_compose_schema():
    argv = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    checked = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_it_has_the_servers_and_our_parts():
    assert set(SERVICES) == {*SERVERS, "migrate", "intake", "worker", "worker-post", "beat", "flower"}


@pytest.mark.parametrize("name", [name for name in SERVICES if name not in ONCE])
def test_what_runs_on_has_a_healthcheck_with_bounds(name: str):
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] in ("CMD", "CMD-SHELL")
    assert len(check["test"]) > 1
    assert seconds(check["timeout"]) <= seconds(check["interval"])
    assert check["retries"] >= 2
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", ONCE)
def test_what_ends_is_waited_for_by_all_who_need_the_ledger(name: str):
    assert SERVICES[name]["healthcheck"] == {"disable": True}
    assert SERVICES[name]["restart"] == "no"
    for selling in SELLING:
        assert SERVICES[selling]["depends_on"][name] == {"condition": "service_completed_successfully"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_limits(name: str):
    limits = SERVICES[name]["deploy"]["resources"]["limits"]
    assert float(limits["cpus"]) > 0
    assert re.fullmatch(r"\d+[MG]", limits["memory"])
    assert limits["pids"] > 0


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_gains_privileges(name: str):
    service = SERVICES[name]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not {"privileged", "cap_add", "devices", "network_mode", "pid"} & set(service)


@pytest.mark.parametrize("name", OURS)
def test_ours_run_without_capabilities_on_a_root_that_they_cannot_write(name: str):
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"] is True
    assert service["init"] is True
    assert service.get("user", "") in ("", "10001:10001")
    assert service["build"] == {"context": ".", "dockerfile": str(DOCKERFILE.relative_to(ROOT))}
    assert {path.partition(":")[0] for path in service["tmpfs"]} == {"/tmp", "/var/lib/pingpost"}


def test_only_flower_is_published_and_on_loopback_alone():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"flower": ["127.0.0.1:5555:5555"]}


def test_only_workers_and_flower_have_a_way_out():
    internal = {name for name, network in COMPOSE["networks"].items() if network and network.get("internal")}
    ways_out = {name: set(service["networks"]) - internal for name, service in SERVICES.items()}
    assert {name: out for name, out in ways_out.items() if out} == {
        "worker": {"out"},
        "worker-post": {"out"},
        "flower": {"watch"},
    }


def test_each_server_keeps_its_data_in_a_volume_of_its_own():
    kept = {
        name: [volume.partition(":")[0] for volume in SERVICES[name]["volumes"] if not volume.startswith(".")]
        for name in SERVERS
    }
    assert kept == {name: [name] for name in SERVERS}
    assert set(COMPOSE["volumes"]) == set(SERVERS)


def test_no_secret_stands_in_the_file():
    assert not re.search(r"://[^\s/]*:[^\s/@]+@", FILE.read_text())
    for name, service in SERVICES.items():
        for variable in service["offered"]:
            is_secret = re.search(r"PASSWORD|PASS\b|SECRET|KEY|TOKEN", variable)
            assert not is_secret or variable.endswith("_FILE"), f"{name}: {variable}"


@pytest.mark.parametrize("name", SERVICES)
def test_every_secret_that_a_service_names_is_handed_to_it(name: str):
    service = SERVICES[name]
    handed = {
        SECRETS + secret if isinstance(secret, str) else secret["target"] for secret in service.get("secrets", [])
    }
    named = {value for variable, value in service["environment"].items() if variable.endswith("_FILE")}
    named |= set(re.findall(rf"{SECRETS}[\w.]+", " ".join([*service.get("command", []), *_check(service)])))
    configuration = {path for path in handed if path.startswith("/etc/")}
    assert named == handed - configuration


def test_secrets_are_files_that_git_and_the_image_ignore():
    for secret in COMPOSE["secrets"].values():
        assert set(secret) == {"file"}
        assert secret["file"].startswith("./ops/docker/secrets/")
    assert (ROOT / "ops/docker/secrets/.gitignore").read_text().split() == ["*", "!.gitignore", "!README.md"]
    assert "ops/docker/secrets" in (ROOT / ".dockerignore").read_text().split()


@pytest.mark.parametrize("name", OURS)
def test_every_variable_of_ours_is_a_setting(name: str):
    settings = {PREFIX + field.upper() for field in Settings.model_fields}
    files = {f"{PREFIX}{secret}_FILE" for secret in SECRET_SETTINGS}
    assert {v for v in SERVICES[name]["offered"] if v.startswith(PREFIX)} <= settings | files


def test_every_setting_reaches_those_who_sell_and_all_of_them_alike():
    # The image's, that of those who write the code, and the secrets'.
    elsewhere = {"data", "log_undeclared", *(secret.lower() for secret in SECRET_SETTINGS)}
    wanted = {PREFIX + field.upper() for field in Settings.model_fields if field not in elsewhere}
    for name in SELLING:
        assert wanted <= SERVICES[name]["offered"], name
        assert SERVICES[name]["offered"] == SERVICES["intake"]["offered"]
        assert SERVICES[name]["secrets"] == SERVICES["intake"]["secrets"]


@pytest.mark.parametrize("name", ["beat", "flower", "migrate"])
def test_who_does_not_sell_knows_no_key(name: str):
    assert "buyer_key" not in SERVICES[name]["secrets"]


def test_every_queue_has_a_worker_and_posts_have_one_of_their_own():
    eaten = {name: SERVICES[name]["command"][5].split(",") for name in ("worker", "worker-post")}
    for name in eaten:
        assert SERVICES[name]["command"][:5] == ["celery", "-A", "workers", "worker", "-Q"]
    assert eaten["worker-post"] == ["post"]
    assert sorted(eaten["worker"] + eaten["worker-post"]) == sorted(queue.name for queue in task_queues("classic"))


@pytest.mark.parametrize("name", OURS)
def test_every_command_is_one_of_ours(name: str):
    program, *arguments = SERVICES[name]["command"]
    if program == "pingpost":
        assert arguments[0] in COMMANDS
    else:
        assert [program, *arguments[:2]] == ["celery", "-A", "workers"]


@pytest.mark.parametrize("name", ["worker", "worker-post"])
def test_a_worker_is_given_the_time_to_end_its_longest_call(name: str):
    defaults = Settings.model_construct()
    longest = defaults.connect_timeout_s + max(defaults.post_timeout_s, defaults.ping_timeout_s) + LEDGER_PATIENCE_S
    assert seconds(SERVICES[name]["stop_grace_period"]) > longest


def test_the_example_of_an_environment_holds_settings_with_their_defaults_and_no_secret():
    lines = re.findall(r"^(#?)(\w+)=(.*)$", ENV_EXAMPLE, re.MULTILINE)
    ours = [(bool(hidden), name, value) for hidden, name, value in lines if name.startswith(PREFIX)]
    assert {name for _, name, _ in lines} - {name for _, name, _ in ours} == {
        "FLOWER_PORT",
        "FLOWER_READ_ONLY",
        "IMAGE_TAG",
    }
    for hidden, name, value in ours:
        field = Settings.model_fields[name.removeprefix(PREFIX).lower()]
        assert name.removeprefix(PREFIX) not in SECRET_SETTINGS
        if not hidden:
            assert value == "", "what the buyer gives is left empty"
        elif field.default not in (None, ""):
            assert value == f"{field.default:g}" if isinstance(field.default, float) else value == str(field.default)


def _check(service: dict[str, Any]) -> list[str]:
    return service["healthcheck"].get("test", [])

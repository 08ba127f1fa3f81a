"""Producers that are not ours, beside whole installations: one on RabbitMQ, one on the embedded Valkey."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ops.sandbox import Sandbox
from ops.sandbox.entries import Sale
from ops.servers.rabbitmq import NoRabbitmq, start_rabbitmq
from tests.integration.installation import Installation, installed
from tests.servers.need import RABBITMQ_VARIABLE, missing

REPOSITORY = Path(__file__).parents[2]
UNWANTED = "05000"
SCENARIO: Mapping[str, Any] = {
    "price": "12.50",
    "phone_number": "+18005550100",
    "rules": [{"call": "ping", "zipcode": UNWANTED, "code": 5000}],
}


@dataclass(frozen=True)
class Place:
    """A running `pingpost up` in a folder that looks like a checkout of ours: `ops/producers` and `.pingpost`."""

    folder: Path
    installation: Installation
    buyer: Sandbox

    def run(
        self, command: str, text: str = "", *, cwd: Path | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a line of a shell in the folder, with nothing of pingpost's in its environment but what is given."""
        return subprocess.run(
            ["/bin/sh", "-c", with_this_python(command)],
            input=text,
            cwd=cwd or self.folder,
            env={**bare_environment(), **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def sales(self, lead_id: str) -> list[Sale]:
        """What the buyer booked of a lead."""
        return [sale for sale in self.buyer.book()["sales"] if sale["customid"] == lead_id]


@dataclass(frozen=True)
class Seller:
    """A producer of `ops/producers`: a lead on its standard input, the outcome on its standard output."""

    command: str
    place: Place

    def sell(self, lead: Mapping[str, Any], **how: Any) -> dict[str, Any]:
        """Sell a lead; the producer must end well and complain about nothing."""
        done = self.place.run(self.command, json.dumps(lead), **how)
        assert (done.returncode, done.stderr) == (0, ""), done
        outcome = json.loads(done.stdout)
        assert isinstance(outcome, dict)
        return outcome


SELLERS = {
    "amqp-tools": ("sh ops/producers/amqp.sh", "on_rabbitmq", ["amqp_tools"]),
    "node-rabbitmq": ("node ops/producers/node-rabbitmq.mjs", "on_rabbitmq", ["npm_installed"]),
    "node-valkey": ("node ops/producers/node-valkey.mjs", "on_valkey", ["npm_installed"]),
    "python-rabbitmq": (".venv/bin/python ops/producers/sell.py", "on_rabbitmq", []),
    "python-valkey": (".venv/bin/python ops/producers/sell.py", "on_valkey", []),
}


def marked(name: str) -> Any:
    """A seller's name as a parameter, with the marks of what it needs."""
    _, place, needs = SELLERS[name]
    marks = [pytest.mark.node] if "npm_installed" in needs else []
    marks += [pytest.mark.rabbitmq] if place == "on_rabbitmq" else []
    return pytest.param(name, marks=marks)


@pytest.fixture(params=[marked(name) for name in SELLERS])
def seller(request: pytest.FixtureRequest) -> Seller:
    """Each producer in turn."""
    command, place, needs = SELLERS[request.param]
    for need in needs:
        request.getfixturevalue(need)
    return Seller(command, request.getfixturevalue(place))


@pytest.fixture(scope="package")
def on_rabbitmq(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Iterator[Place]:
    """A `pingpost up` on RabbitMQ."""
    # A node of its own where it can be had: another suite's `up` on a shared one would take our leads.
    try:
        url, stop = start_rabbitmq()
    except NoRabbitmq as reason:
        given = os.environ.get(RABBITMQ_VARIABLE)
        if not given:
            missing(str(reason))
        url, stop = given, lambda: None
    try:
        with opened(tmp_path_factory.mktemp("rabbitmq"), checkout, {"PINGPOST_BROKER_URL": url}) as place:
            yield place
    finally:
        stop()


@pytest.fixture(scope="package")
def on_valkey(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Iterator[Place]:
    """A `pingpost up` on its embedded Valkey."""
    with opened(tmp_path_factory.mktemp("valkey"), checkout, {}) as place:
        yield place


@pytest.fixture(scope="package")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of `ops/producers`, in which packages may be installed."""
    folder = tmp_path_factory.mktemp("checkout")
    ignored = shutil.ignore_patterns("node_modules", "__pycache__")
    shutil.copytree(REPOSITORY / "ops" / "producers", folder / "ops" / "producers", ignore=ignored)
    return folder


@pytest.fixture(scope="package")
def npm_installed(checkout: Path) -> None:
    """The packages of the Node producers, as the README installs them."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        missing("no Node.js: the programs node and npm")
    done = subprocess.run(
        ["npm", "ci", "--prefix", "ops/producers"],
        cwd=checkout,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        missing(f"npm ci: {done.stderr[-500:]}")


@pytest.fixture(scope="package")
def amqp_tools() -> None:
    """Debian's programs that speak AMQP."""
    if shutil.which("amqp-publish") is None:
        missing("no amqp-tools: the program amqp-publish")


def bare_environment() -> dict[str, str]:
    """The environment without pingpost's variables; Python finds our packages in it, installed or not."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("PINGPOST_")}
    return {**bare, "PYTHONPATH": str(REPOSITORY)}


def with_this_python(command: str) -> str:
    """A documented command, with the Python that runs the tests for the one of `.venv`."""
    return command.replace(".venv/bin/python", shlex.quote(sys.executable))


@contextmanager
def opened(folder: Path, checkout: Path, environment: Mapping[str, str]) -> Iterator[Place]:
    with (
        Sandbox(SCENARIO) as buyer,
        installed(folder, buyer, environment, "--no-flower") as installation,
    ):
        (folder / ".pingpost").symlink_to(installation.data)
        (folder / "ops").symlink_to(checkout / "ops")
        yield Place(folder, installation, buyer)

"""A Prometheus of the tests' own: an installed program, with the configuration and the rules that we ship, hurried."""

from __future__ import annotations

import json
import re
import shutil
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ops.servers.own import OwnServer, free_port
from ops.servers.waiting import wait_until

START_S = 30
SHIPPED = Path(__file__).resolve().parents[2] / "ops" / "prometheus"
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_WINDOW = re.compile(r"\[(\d+[smh])\]")


class NoPrometheus(Exception):
    """It is not installed, or does not start."""


@dataclass(frozen=True)
class Prometheus:
    """One that runs, and what it says."""

    url: str

    def firing(self) -> list[dict[str, str]]:
        """The labels of all alerts that fire."""
        alerts = self._get("alerts")["alerts"]
        return [alert["labels"] for alert in alerts if alert["state"] == "firing"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Evaluate an expression; one that Prometheus refuses raises."""
        found: list[dict[str, Any]] = self._get("query", query=expression)["result"]
        return found

    def rules(self) -> list[dict[str, Any]]:
        """The rules that it has loaded."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def _get(self, path: str, **asked: str) -> Any:
        query = urllib.parse.urlencode(asked)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as answer:
            return json.load(answer)["data"]


def program(name: str) -> str:
    """Find `prometheus` or `promtool`.

    Raises:
        NoPrometheus: it is not installed.
    """
    found = shutil.which(name)
    if found is None:
        raise NoPrometheus(f"no {name}")
    return found


@contextmanager
def prometheus(targets: Path, *, every_s: int, sooner: int, windows_s: int) -> Iterator[Prometheus]:
    """Run one on a file of targets, scraping and judging every so many seconds, with the rules made `shortened`.

    Raises:
        NoPrometheus: see there.
    """
    server = program("prometheus")
    own = OwnServer("prometheus")
    try:
        rules = shortened((SHIPPED / "alerts.yml").read_text(), sooner, windows_s)
        (own.home / "alerts.yml").write_text(rules)
        configuration = yaml.safe_load((SHIPPED / "prometheus.yml").read_text())
        seconds = f"{every_s}s"
        configuration["global"] = {
            "scrape_interval": seconds,
            "scrape_timeout": seconds,
            "evaluation_interval": seconds,
        }
        (scrape,) = configuration["scrape_configs"]
        scrape["file_sd_configs"] = [{"files": [str(targets)]}]
        (own.home / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        port = free_port()
        running = Prometheus(f"http://127.0.0.1:{port}")
        process = own.run(
            [
                server,
                f"--config.file={own.home}/prometheus.yml",
                f"--storage.tsdb.path={own.home}/data",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=warn",
            ]
        )
        ready = wait_until(lambda: process.poll() is not None or _is(running.rules), within_s=START_S)
        if not ready or process.poll() is not None:
            raise NoPrometheus(f"it does not start: {own.output}")
        yield running
    finally:
        own.stop()


def shortened(rules: str, sooner: int, windows_s: int) -> str:
    """Make rules whose `for:` and windows are so many times shorter; no window is shorter than `windows_s`."""

    def sooner_by(duration: str, least_s: int) -> str:
        return f"{max(least_s, int(duration[:-1]) * _SECONDS[duration[-1]] // sooner)}s"

    loaded = yaml.safe_load(rules)
    for group in loaded["groups"]:
        for rule in group["rules"]:
            rule["expr"] = _WINDOW.sub(lambda window: f"[{sooner_by(window[1], windows_s)}]", rule["expr"])
            if "for" in rule:
                rule["for"] = sooner_by(rule["for"], 1)
    return yaml.safe_dump(loaded, sort_keys=False)


def _is(ask: Callable[[], object]) -> bool:
    try:
        return bool(ask())
    except OSError:
        return False

"""What we ship for Prometheus and Grafana, as Prometheus' own tool reads it: rules, their tests, every expression."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops import dashboard
from tests.compose.composefile import ROOT, read
from tests.servers.need import missing
from tests.servers.prometheus import SHIPPED, NoPrometheus, program, shortened
from workers.metrics import METRICS

ALERTS = SHIPPED / "alerts.yml"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
]
EXPRESSIONS = [expression for row in dashboard.ROWS for panel in row.panels for expression in panel.shows.values()]
RUNBOOK = (ROOT / "ops" / "runbook.md").read_text(encoding="utf-8")
PROVOKED = set(re.findall(r'\balert\("(\w+)"', Path(__file__).with_name("trials.py").read_text()))
NAME = re.compile(r"\bpingpost_\w+")


@pytest.fixture(scope="module")
def promtool() -> str:
    try:
        return program("promtool")
    except NoPrometheus as reason:
        missing(str(reason))


def holds(*argv: str | Path) -> None:
    """Run the tool, which must be content."""
    done = subprocess.run([str(it) for it in argv], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["prometheus.yml", "compose.yml"])
def test_prometheus_takes_the_configurations_and_the_rules_in_them(promtool, name):
    holds(promtool, "check", "config", SHIPPED / name)


def test_each_alert_fires_when_it_must_and_not_when_it_must_not(promtool):
    """promtool's unit tests, which have both for each rule."""
    holds(promtool, "test", "rules", SHIPPED / "alerts_test.yml")
    cases = Counter[tuple[str, bool]]()
    for test in yaml.safe_load((SHIPPED / "alerts_test.yml").read_text())["tests"]:
        cases.update((case["alertname"], "exp_alerts" in case) for case in test["alert_rule_test"])
    alerts = {rule["alert"] for rule in RULES}
    assert cases.keys() == {(alert, fires) for alert in alerts for fires in (True, False)}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_is_wrong_how_bad_it_is_and_where_to_read_on(rule):
    """Its paragraph in the runbook has its name as a heading; and some trial sets it off for real."""
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["annotations"].keys() == {"summary", "runbook"}
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert (page, anchor) == ("ops/runbook.md", rule["alert"].lower())
    heading, _, paragraph = RUNBOOK.partition(f"### {rule['alert']}\n")[2].partition("\n")
    assert len(f"{heading}{paragraph}") > 80
    assert rule["alert"] in PROVOKED


def test_no_trial_is_of_an_alert_that_is_gone():
    assert {rule["alert"] for rule in RULES} == PROVOKED


def test_rules_and_dashboard_ask_for_nothing_that_nobody_serves():
    """A metric that is renamed would leave an alarm behind that never fires."""
    served = {str(name) for name in METRICS}
    served |= {
        f"{name}_{part}" for name, it in METRICS.items() if it.kind == "histogram" for part in ("bucket", "count")
    }
    asked = {name for text in (*(rule["expr"] for rule in RULES), *EXPRESSIONS) for name in NAME.findall(text)}
    assert asked <= served


def test_the_dashboard_is_the_one_that_is_made_and_prometheus_can_read_each_expression(promtool, tmp_path):
    assert json.loads(dashboard.FILE.read_text(encoding="utf-8")) == dashboard.dashboard(), "make docs"
    rules = [
        {"record": f"panel:{place}", "expr": expression.replace("$__rate_interval", "1m")}
        for place, expression in enumerate(EXPRESSIONS)
    ]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    holds(promtool, "check", "rules", tmp_path / "rules.yml")


def test_panels_fill_their_rows_and_none_lies_on_another():
    taken = Counter[tuple[int, int]]()
    for panel in dashboard.dashboard()["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        taken.update((at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"]))
    assert set(taken.values()) == {1}
    assert len({panel["id"] for panel in dashboard.dashboard()["panels"]}) == len(dashboard.dashboard()["panels"])


def test_the_rules_that_make_alarms_hurries_are_the_same_but_for_their_times(promtool, tmp_path):
    hurried = shortened(ALERTS.read_text(), sooner=30, windows_s=20)
    (tmp_path / "alerts.yml").write_text(hurried)
    holds(promtool, "check", "rules", tmp_path / "alerts.yml")
    times = re.compile(r"\b\d+[smh]\b")
    as_shipped = yaml.safe_dump(yaml.safe_load(ALERTS.read_text()), sort_keys=False, width=10_000)
    assert times.sub("", yaml.safe_dump(yaml.safe_load(hurried), sort_keys=False, width=10_000)) == times.sub(
        "", as_shipped
    )


def test_prometheus_beside_compose_asks_every_part_that_serves():
    """By the service's name and the port that the file sets; each is on the network that Prometheus joins."""
    (scrape,) = yaml.safe_load((SHIPPED / "compose.yml").read_text())["scrape_configs"]
    (asked,) = scrape["dns_sd_configs"]
    services = read()["services"]
    serving = {name for name, it in services.items() if it.get("environment", {}).get("PINGPOST_METRICS_PORT")}
    assert (
        set(asked["names"]) == serving == {name for name, it in services.items() if "metrics" in it.get("networks", ())}
    )
    for name in serving:
        assert services[name]["environment"]["PINGPOST_METRICS_PORT"] == str(asked["port"])

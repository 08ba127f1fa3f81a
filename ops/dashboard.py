"""``python -m ops.dashboard`` (`make docs`): writes `ops/grafana/pingpost.json`, which Grafana imports as it stands."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

FILE: Final = Path(__file__).with_name("grafana") / "pingpost.json"
SOURCE: Final = {"type": "prometheus", "uid": "${source}"}
SOURCE_CHOICE: Final = {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
_COLUMNS: Final = 24  # of Grafana's grid


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel: `shows` gives an expression for each legend. `unit` is Grafana's name of one."""

    title: str
    shows: Mapping[str, str]
    unit: str = "short"
    means: str = ""
    kind: Literal["stat", "timeseries", "state-timeline"] = "timeseries"
    stacked: bool = False
    red_from: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Panels of one height, side by side, `across` in a line."""

    title: str
    across: int
    height: int
    panels: Sequence[Panel]


def _quantiles(metric: str, by: str = "", where: str = "") -> dict[str, str]:
    rate = f"sum by (le{by and ', ' + by}) (rate({metric}_bucket{where}[$__rate_interval]))"
    label = f" {{{{{by}}}}}" if by else ""
    return {f"p{part}{label}": f"histogram_quantile(0.{part}, {rate})" for part in (50, 95, 99)}


def _accepted(over: str, window: str) -> str:
    bids, noes = (f"sum({over}({counter}[{window}]))" for counter in (_BIDS, _NO))
    return f"{bids} / ({bids} + {noes})"


def _stat(title: str, expression: str, unit: str, means: str, red_from: float | None = None) -> Panel:
    return Panel(title, {"": expression}, unit, means, kind="stat", red_from=red_from)


_NO: Final = 'pingpost_refusals_total{call="ping", code!~"1000|1100"}'
_SOLD: Final = '{status="sold"}'
_BIDS: Final = 'pingpost_calls_total{call="ping", result="bid"}'

ROWS: Final = (
    Row(
        "Now",
        8,
        4,
        (
            _stat("Sold, last hour", 'sum(increase(pingpost_outcomes_total{status="sold"}[1h]))', "short", ""),
            _stat(
                "Payouts, last hour",
                'sum(increase(pingpost_payout_dollars_total{price="confirmed"}[1h]))',
                "currencyUSD",
                "As the buyer confirmed them.",
            ),
            _stat(
                "Accept rate, last hour",
                _accepted("increase", "1h"),
                "percentunit",
                "Bids among the pings that were answered: not by a 1000, an 1100 or silence.",
            ),
            _stat("Open leads", "sum(max by (state) (pingpost_open_leads))", "short", "Without an outcome."),
            _stat("Oldest waits", "max(pingpost_oldest_lead_seconds)", "s", "Since the front door.", 20),
            _stat(
                "Unknown, last day",
                'sum(increase(pingpost_outcomes_total{status="unknown"}[1d]))',
                "short",
                "Posts without an answer: they may be sold.",
                1,
            ),
            _stat(
                "Too late, last day",
                "sum(increase(pingpost_late_outcomes_total[1d]))",
                "short",
                "Sales that were told after forward_by.",
                1,
            ),
            _stat(
                "Untold outcomes", "max(pingpost_untold_outcomes)", "short", "In the ledger, not on the broker.", 100
            ),
        ),
    ),
    Row(
        "Sales",
        2,
        8,
        (
            Panel(
                "Outcomes a second",
                {"{{status}}": "sum by (status) (rate(pingpost_outcomes_total[$__rate_interval]))"},
                stacked=True,
            ),
            Panel(
                "Payouts an hour",
                {"{{price}}": "sum by (price) (rate(pingpost_payout_dollars_total[$__rate_interval])) * 3600"},
                "currencyUSD",
                "Quoted by the ping, confirmed by the post.",
            ),
            Panel(
                "Accept rate",
                {
                    "of pings": _accepted("rate", "$__rate_interval"),
                    "of posts": 'sum(rate(pingpost_calls_total{call!="ping", result="sale"}[$__rate_interval]))'
                    ' / sum(rate(pingpost_calls_total{call!="ping", result=~"sale|refusal"}[$__rate_interval]))',
                },
                "percentunit",
                "Bids, and sales, among the calls that were answered.",
            ),
            Panel(
                "Refusals a second, by code",
                {"{{code}}": "sum by (code) (rate(pingpost_refusals_total[$__rate_interval])) > 0"},
                stacked=True,
            ),
        ),
    ),
    Row(
        "Where the time goes",
        2,
        8,
        (
            Panel(
                "A sold lead, from the front door until it is told",
                _quantiles("pingpost_lead_seconds", where=_SOLD),
                "s",
                "The caller waits so long.",
            ),
            Panel(
                "Of that, ours",
                _quantiles("pingpost_own_seconds", where=_SOLD),
                "s",
                "The same without the time in which the buyer had a call; waits for gates and pace included.",
            ),
            Panel("The buyer's time for a call", _quantiles("pingpost_buyer_seconds", "call"), "s"),
            Panel(
                "Until the first call begins",
                _quantiles("pingpost_start_seconds", "call"),
                "s",
                "From when a lead was ready for it: taken in, or bid for.",
            ),
        ),
    ),
    Row(
        "Gates and pace",
        2,
        7,
        (
            Panel(
                "Closed gates",
                {"{{scope}} {{code}}": "max by (scope, code) (pingpost_gate_closed) > 0"},
                means="By scope and the buyer's code; see `pingpost gates`.",
                kind="state-timeline",
            ),
            Panel(
                "Calls a second, and the pace",
                {
                    "{{call}}": "sum by (call) (rate(pingpost_calls_total[$__rate_interval]))",
                    "pace": "max(pingpost_pace_calls_per_second)",
                },
                means="The pace is absent where no limit of the buyer's is known.",
            ),
            Panel(
                "Leads that closed gates turned away",
                {"{{scope}}": "max by (scope) (pingpost_gate_turned_away)"},
                means="Since each was closed.",
            ),
            Panel(
                "Gates that turned, an hour",
                {"{{kind}} {{turn}}": "sum by (kind, turn) (increase(pingpost_gate_turns_total[1h])) > 0"},
            ),
        ),
    ),
    Row(
        "The installation",
        3,
        7,
        (
            Panel("Messages in the queues", {"{{queue}}": "max by (queue) (pingpost_queue_messages)"}),
            Panel("Open leads", {"{{state}}": "max by (state) (pingpost_open_leads)"}, stacked=True),
            Panel("Age of the oldest open lead", {"{{state}}": "max by (state) (pingpost_oldest_lead_seconds)"}, "s"),
            Panel(
                "Leads taken in, and steps, a second",
                {
                    "taken in": "sum(rate(pingpost_leads_received_total[$__rate_interval]))",
                    "{{call}}": "sum by (call) (rate(pingpost_steps_total[$__rate_interval]))",
                },
            ),
            Panel(
                "Alarms and mended leads, an hour",
                {
                    "lines alarm": "sum(increase(pingpost_alarms_total[1h]))",
                    "sent on again": "sum(increase(pingpost_leads_resumed_total[1h]))",
                },
            ),
            Panel(
                "Parts and sources that do not answer",
                {
                    "{{part}} {{instance}}": 'up{job="pingpost"} == 0',
                    "{{source}}": "min by (source) (pingpost_readable) == 0",
                },
            ),
            Panel("Processors", {"{{part}}": 'rate(process_cpu_seconds_total{job="pingpost"}[$__rate_interval])'}),
            Panel("Memory", {"{{part}}": 'process_resident_memory_bytes{job="pingpost"}'}, "bytes"),
            Panel(
                "Upkeep a second",
                {
                    "sent {{task}}": "sum by (task) (rate(pingpost_beat_sent_total[$__rate_interval]))",
                    "done {{task}}": "sum by (task) (rate(pingpost_upkeep_total[$__rate_interval]))",
                },
            ),
        ),
    ),
)


def dashboard() -> dict[str, Any]:
    """Give the whole dashboard, in Grafana's model."""
    return {
        "title": "pingpost",
        "uid": "pingpost",
        "tags": ["pingpost"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,  # a shared crosshair
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [SOURCE_CHOICE]},
        "panels": [panel | {"id": number} for number, panel in enumerate(_laid_out(), 1)],
    }


def _laid_out() -> Iterator[dict[str, Any]]:
    top = 0
    for row in ROWS:
        yield {"type": "row", "title": row.title, "collapsed": False, "panels": [], "gridPos": _at(0, top, _COLUMNS, 1)}
        top += 1
        width = _COLUMNS // row.across
        for place, panel in enumerate(row.panels):
            line, column = divmod(place, row.across)
            yield _panel(panel) | {"gridPos": _at(column * width, top + line * row.height, width, row.height)}
        top += -(-len(row.panels) // row.across) * row.height


def _at(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _panel(panel: Panel) -> dict[str, Any]:
    custom: dict[str, Any] = {}
    if panel.kind == "timeseries":
        custom = {"fillOpacity": 10, "showPoints": "never"}
        if panel.stacked:
            custom |= {"fillOpacity": 40, "stacking": {"mode": "normal", "group": "A"}}
    steps: list[dict[str, str | float | None]] = [{"color": "green", "value": None}]
    if panel.red_from is not None:
        steps.append({"color": "red", "value": panel.red_from})
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.means,
        "datasource": SOURCE,
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": SOURCE, "expr": expression, "legendFormat": legend}
            for place, (legend, expression) in enumerate(panel.shows.items())
        ],
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "custom": custom, "thresholds": {"mode": "absolute", "steps": steps}},
            "overrides": [],
        },
        "options": {"reduceOptions": {"calcs": ["lastNotNull"]}} if panel.kind == "stat" else {},
    }


def main() -> None:
    """Write the file."""
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(dashboard(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

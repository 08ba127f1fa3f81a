"""What the core is handed by the outside, at rest: the real tables, and settings that most stories share."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from tasks.core.lead import Flow
from tasks.core.protocol import Action, Call, Code, FieldRule, Protocol
from tasks.core.validation import Defaults

TABLES = Path(__file__).parents[2] / "tasks/buyers/letsmakealead"


@pytest.fixture(scope="session")
def protocol() -> Protocol:
    buyer = tomllib.loads((TABLES / "buyer.toml").read_text())
    vertical = tomllib.loads((TABLES / "call_routing_legal.toml").read_text())
    return Protocol(
        buyer=buyer["name"],
        vertical=vertical["name"],
        fields=tuple(_rule(row) for row in vertical["fields"]),
        categories={row["numcategory"]: row["name"] for row in vertical["categories"]},
        codes={row["code"]: Code(row["code"], row["meaning"], Action(row["action"])) for row in buyer["codes"]},
        forward_within_s=buyer["limits"]["forward_within_s"],
        answer_bytes=buyer["limits"]["answer_bytes"],
        test_subid=buyer["test_mode"]["subid"],
        one_step_url=buyer["endpoints"]["one_step"],
    )


def _rule(row: dict[str, Any]) -> FieldRule:
    optional = ("min_length", "max_length", "constant", "identity", "secret")
    return FieldRule(
        name=row["name"],
        source=row["source"],
        presence={call: row[call.value] for call in Call},
        kind=row["kind"],
        allowed=tuple(row.get("allowed", ())),
        **{name: row[name] for name in optional if name in row},
    )


@pytest.fixture(scope="session")
def defaults() -> Defaults:
    return Defaults(flow=Flow.PING_POST, deadline_s=20.0, subid="", test_mode=False)

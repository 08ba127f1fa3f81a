"""Metrics as Prometheus reads them: the table of names, and what a whole installation serves over real HTTP."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from ops.metrics_page import PAGE, page
from ops.sandbox import Sandbox
from ops.servers.own import ports_in_a_row
from tests.integration.installation import IDENTITY, installed, lead, wait_for
from tests.integration.upstream import Upstream
from workers.metrics import METRICS, Name
from workers.targets import FILE

Samples = Mapping[tuple[str, str], float]
SCENARIO = {
    "caps": [{"count": 2, "numcategory": 16001}],
    "rules": [
        {"call": "ping", "zipcode": "05000", "code": 5000},
        {"call": "ping", "zipcode": "07777", "code": 7777},
        {"call": "post", "zipcode": "09000", "latency_ms": 300},
    ],
}


def fetch(place: str) -> str:
    """What a part serves."""
    with urllib.request.urlopen(f"http://{place}/metrics", timeout=10) as answer:
        return answer.read().decode()


def families(text: str) -> dict[str, Metric]:
    """Every metric of ours, by the name that it is declared by."""
    found = {family.name + ("_total" if family.type == "counter" else ""): family for family in _parsed(text)}
    return {name: family for name, family in found.items() if name.startswith("pingpost_")}


def samples(text: str) -> Samples:
    """Every sample, by its name and the values of its labels in the order of their names."""
    return {(one.name, " ".join(map(str, one.labels.values()))): one.value for f in _parsed(text) for one in f.samples}


def _parsed(text: str) -> list[Metric]:
    return list(text_string_to_metric_families(text))


def test_every_name_stands_once_in_the_table_and_says_its_unit():
    """And the page that people read is made from it."""
    assert set(METRICS) == set(Name)
    for name, declared in METRICS.items():
        assert name.startswith("pingpost_")
        assert name.endswith("_total") == (declared.kind == "counter"), name
        assert declared.kind != "histogram" or name.endswith("_seconds"), name
        assert declared.served_by, name
    assert PAGE.read_text(encoding="utf-8") == page(), "make docs"


def test_an_installation_shows_what_it_does(tmp_path):
    """Each part what the table says, under the declared labels; the sums are those of the leads; and nobody's data."""
    first = ports_in_a_row(4)
    with Sandbox(SCENARIO) as buyer:
        environment = {"PINGPOST_METRICS_PORT": str(first), "PINGPOST_CALLS_PER_S": "200"}
        with installed(tmp_path, buyer, environment, "--no-flower") as house:
            upstream = Upstream(house.broker_url)
            told = upstream.sell(
                *(lead(f"m-{n}") for n in range(2)), lead("m-slow", zipcode="09000", numcategory=16002)
            )
            told += upstream.sell(lead("m-capped"))
            told += upstream.sell(lead("m-turned-away"), lead("m-no", zipcode="05000", numcategory=16002))
            told += upstream.sell(lead("m-odd", zipcode="07777", numcategory=16002), {**lead("m-bad"), "state": "xyz"})
            upstream.send_raw(b"no lead")
            upstream.close()
            assert house.facts["metrics"].startswith(f"intake 127.0.0.1:{first}, beat 127.0.0.1:{first + 1}, ping1")
            places = {
                group["labels"]["part"]: group["targets"][0] for group in json.loads((house.data / FILE).read_text())
            }
            wait_for(lambda: samples(fetch(places["intake"]))[Name.QUEUE, "leads.dead"] == 1, 10)
            wait_for(lambda: samples(fetch(places["beat"]))[Name.SENT, "sweep"] > 0, 10)
            wait_for(lambda: samples(fetch(places["intake"]))[Name.UNTOLD, ""] == 0, 10)
            texts = {part: fetch(place) for part, place in places.items()}

    assert [one["status"] for one in told] == ["sold"] * 3 + ["capped"] * 2 + ["rejected"] * 2 + ["invalid"]
    for part, text in texts.items():
        served = families(text)
        kind = part.rstrip("1").replace("ping", "worker").replace("post", "worker")
        seldom = {Name.PACE, Name.GATE_OPENS, Name.GATE_TURNED_AWAY, Name.GATE_CLOSED, Name.RESET_LATE, Name.TURNED}
        declared = {name for name, of in METRICS.items() if kind in of.served_by}
        assert declared - seldom <= served.keys() <= declared, part
        for name, family in served.items():
            labels = {frozenset(one.labels) - {"le"} for one in family.samples}
            assert labels <= {frozenset(METRICS[Name(name)].labels)}, name
            assert (family.type, family.documentation) == (METRICS[Name(name)].kind, METRICS[Name(name)].help)
        assert not [word for word in (*IDENTITY, "m-0", house.environment["PINGPOST_KEY"]) if word in text], part
    _counts_are_those_of_the_leads(samples(texts["ping1"]), samples(texts["post1"]), told)
    intake = samples(texts["intake"])
    assert (intake[Name.RECEIVED, ""], intake[Name.OUTCOMES, "invalid"]) == (7, 1)
    assert {source: intake[Name.READABLE, source] for source in ("ledger", "store", "broker")} == dict.fromkeys(
        ("ledger", "store", "broker"), 1
    )
    assert (intake[Name.GATE_CLOSED, "4000 category:16001"], intake[Name.GATE_CLOSED, " buyer"]) == (1, 0)
    assert intake[Name.GATE_TURNED_AWAY, "category:16001"] == 1
    opens = datetime.fromtimestamp(intake[Name.GATE_OPENS, "category:16001"], UTC)
    assert datetime.now(UTC) < opens < datetime.now(UTC) + timedelta(hours=25)
    assert intake[Name.PACE, ""] == 200
    assert {intake[Name.OPEN, state] for state in ("received", "pinging", "bid", "posting")} == {0}
    assert (intake[Name.UNTOLD, ""], intake[Name.OLDEST_UNTOLD, ""]) == (0, 0)


def _counts_are_those_of_the_leads(ping: Samples, post: Samples, told: list[dict[str, str]]) -> None:
    both = {key: ping[key] + post[key] for key in ping.keys() & post.keys()}
    outcomes = {status: both[Name.OUTCOMES, status] for status in ("sold", "capped", "rejected", "unknown")}
    assert outcomes == {"sold": 3, "capped": 2, "rejected": 2, "unknown": 0}
    payout = sum(float(one["price"]) for one in told if one["status"] == "sold" and one["numcategory"] == 16001)
    assert both[Name.PAYOUT, "16001 confirmed"] == both[Name.PAYOUT, "16001 quoted"] == payout
    # Of seven leads one is turned away at the gate; one that waits for its turn takes two steps.
    assert ping[Name.STEPS, "ping"] >= 7
    assert (ping[f"{Name.START}_count", "ping"], both[f"{Name.START}_count", "post"]) == (
        6,
        4 - both[Name.REFUSALS, "ping 4000"],
    )
    refused = {code: both[Name.REFUSALS, f"ping {code}"] for code in ("4000", "5000", "unlisted", "none")}
    assert refused["5000"] == refused["unlisted"] == 1
    assert both[Name.REFUSALS, "ping 4000"] + both[Name.REFUSALS, "post 4000"] == 1
    assert both[Name.ALARMS, ""] == 1
    assert both[Name.TURNS, "category closed"] == 1
    turned = {**ping, **post}[Name.TURNED, "category closed"]
    assert time.time() - 60 < turned <= time.time()
    # The buyer took its time over one post: it is in the whole, in the buyer's, and not in ours.
    whole, ours = both[f"{Name.LEAD}_sum", "sold"], both[f"{Name.OWN}_sum", "sold"]
    buyer = both[f"{Name.BUYER}_sum", "ping"] + both[f"{Name.BUYER}_sum", "post"]
    assert both[f"{Name.BUYER}_sum", "post"] >= 0.3
    assert 0.3 <= whole - ours <= buyer

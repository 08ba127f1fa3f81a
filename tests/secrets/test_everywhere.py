"""The key and the callers are nowhere that somebody can look, whatever the buyer answers and however it was asked."""

from __future__ import annotations

import json
import re
import socket
import urllib.request
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest
import redis
from sqlalchemy import select

from ops.sandbox import Sandbox
from tasks.ledger.schema import metadata
from tests.integration.control import Operator
from tests.integration.installation import IDENTITY, KEY, Installation, installed, lead, wait_for
from tests.integration.upstream import Upstream
from tests.secrets.tattler import WAYS, TattlingBuyer

DOOR = "door-pass-58c1e0"  # a password that the buyer's own URL holds
SECRETS = (KEY, DOOR, b64encode(f"us:{DOOR}".encode()).decode())
NOBODY_HOME = "00200"
# A ping may be asked for again until the lead's time is over, which it is soon; a single call decides.
FLOWS = {"ping_post": 3, "one_step": 20}
JUNK = b'{"lead_id": "e-junk", "telephone": "8772681223", "firstname": "Hildegard", "zipcode": '
INVALID = {**lead("e-invalid"), "telephone": "not Hildegard's", "zipcode": "Zymurgy"}


@dataclass(frozen=True)
class Told:
    """An installation after leads have gone through it in every way."""

    installation: Installation
    outcomes: dict[str, dict[str, Any]]
    operator: Operator
    broker: redis.Redis

    def page(self, path: str) -> str:
        """A page of Flower's."""
        with urllib.request.urlopen(self.installation.flower + path, timeout=20) as answer:
            text: str = answer.read().decode()
            return text

    def workers(self) -> dict[str, Any] | None:
        """Whom Flower knows, once each has answered in the second that it is given: without it has no page."""
        found: dict[str, Any] = json.loads(self.page("/api/workers?refresh=1"))
        return found if found and all("stats" in worker for worker in found.values()) else None


@pytest.fixture(scope="module", params=["form", "json", "get"])
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """Leads of every flow, each with a buyer who tells all in its own way, asked by one method."""
    with ExitStack() as stack:
        buyer = stack.enter_context(TattlingBuyer())
        nobody = socket.create_server(("127.0.0.1", 0))
        closed = nobody.getsockname()[1]
        nobody.close()
        with_password = buyer.url.replace("//", f"//us:{DOOR}@")
        environment = {
            "PINGPOST_METHOD": request.param,
            "PINGPOST_LOG_LEVEL": "DEBUG",
            "PINGPOST_PING_URL": f"{with_password}/ping",
            "PINGPOST_POST_URL": f"{with_password}/post",
            "PINGPOST_ONE_STEP_URL": f"{with_password}/one",
            "PINGPOST_DIRECT_POST_URL": f"http://us:{DOOR}@127.0.0.1:{closed}/direct",
            "PINGPOST_PING_TIMEOUT_S": "0.5",
            "PINGPOST_POST_TIMEOUT_S": "3",
        }
        sandbox = stack.enter_context(Sandbox({}))
        installation = stack.enter_context(installed(tmp_path_factory.mktemp("tell"), sandbox, environment))
        upstream = Upstream(installation.broker_url)
        stack.callback(upstream.close)
        leads = [
            lead(f"e-{flow}-{zipcode}", flow=flow, zipcode=zipcode, deadline_s=deadline_s)
            for flow, deadline_s in FLOWS.items()
            for zipcode, way in WAYS.items()
            if way != "blocked"
        ]
        leads.append(lead("e-refused", flow="direct_post", zipcode=NOBODY_HOME, deadline_s=3, price="5.00"))
        upstream.send_raw(JUNK)
        upstream.send(INVALID)
        told_ = upstream.sell(*leads)
        # Last, from a source of their own, which the buyer's 2000 closes.
        blocked = next(zipcode for zipcode, way in WAYS.items() if way == "blocked")
        for flow, deadline_s in FLOWS.items():
            fields = {"flow": flow, "zipcode": blocked, "subid": flow, "deadline_s": deadline_s}
            told_ += upstream.sell(lead(f"e-{flow}-{blocked}", **fields))
        outcomes = {outcome["lead_id"]: outcome for outcome in told_}
        installation.wait_for_line("lead.buried")
        broker = redis.Redis.from_url(
            installation.broker_url.replace("redis+socket://", "unix://").replace("virtual_host=", "db=")
        )
        stack.callback(broker.close)
        yield Told(installation, outcomes, Operator(installation.broker_url), broker)


def hidden(text: str, where: str, words: Iterable[str] = (*SECRETS, *IDENTITY)) -> None:
    """Fail where a text shows one of the words, and say where."""
    found = [re.search(f".{{0,80}}{re.escape(word)}", text) for word in words if word in text]
    assert found == [], f"{where} shows {found}"


def test_every_way_to_answer_was_met(told: Told):
    """The leads ended as their buyer's answers say: the searches below have something to find."""
    ended = {lead_id: outcome["status"] for lead_id, outcome in told.outcomes.items()}
    by_way = {way: ended[f"e-one_step-{zipcode}"] for zipcode, way in WAYS.items()}
    assert by_way["sold"] == "sold"
    assert by_way["refused"] == "rejected"
    assert by_way["blocked"] == "blocked"
    assert {by_way[way] for way in ("unreadable", "redirect", "cut", "no HTTP", "reset", "timeout")} == {"unknown"}
    assert ended["e-refused"] == "expired"
    masked = [line for line in told.installation.lines() if "***" in json.dumps(line)]
    assert masked, "nothing was masked: the buyer told nothing"


def test_no_outcome_and_no_line_of_the_log_tells_a_caller_or_a_secret(told: Told):
    """Not at DEBUG either, where libraries speak."""
    hidden(json.dumps(told.outcomes), "an outcome")
    hidden(told.installation.log_text(), "the log")


def test_the_ledger_tells_callers_in_its_content_alone_and_the_key_nowhere(told: Told):
    """Every column of every table, and the files byte by byte for secrets."""
    content = ""
    for table in metadata.sorted_tables:
        rows = told.installation.ledger.read(lambda it, table=table: it.execute(select(table)).mappings().all())
        for row in rows:
            for name, value in row.items():
                if (table.name, name) == ("leads", "content"):
                    content += str(value)
                else:
                    hidden(str(value), f"{table.name}.{name}")
    assert IDENTITY[0] in content
    for path in _files(told.installation.data):
        data = path.read_bytes()
        assert not [secret for secret in SECRETS if secret.encode() in data], path


def test_no_key_of_broker_or_state_store_holds_a_caller_but_the_dead_letters_bodies(told: Told):
    """Queues, gates, dead letters: what was no lead is kept whole, and its headers tell nothing."""
    dead = [json.loads(message) for message in told.broker.lrange("leads.dead", 0, -1)]  # type: ignore[union-attr]  # its stubs allow for an asynchronous client
    assert len(dead) == 1
    for message in dead:
        assert message["headers"]
        hidden(json.dumps([message["headers"], message["properties"]]), "a dead letter's headers")
    names = [name.decode() for name in told.broker.scan_iter()]
    assert "leads.dead" in names
    for name in names:
        hidden(name, "a name of a key")
        held = _value(told.broker, name)
        hidden(held, name, SECRETS if name == "leads.dead" else (*SECRETS, *IDENTITY))


def test_no_page_of_flower_and_no_inspection_tells_a_caller_or_a_secret(told: Told):
    """Lists, tasks, workers, broker, metrics; and what a worker answers to Celery's own commands."""
    tasks = wait_for(lambda: json.loads(told.page("/api/tasks?limit=200")) or None, 20)
    paths = ["/api/tasks?limit=200", "/api/workers?refresh=1", "/workers", "/tasks", "/broker", "/metrics"]
    paths += [f"/task/{task}" for task in list(tasks)[:5]]
    paths += [f"/worker/{quote(name)}" for name in wait_for(told.workers, 20)]
    for path in paths:
        hidden(told.page(path), path)
    for what in ("stats", "conf", "active", "reserved", "scheduled", "report"):
        hidden(json.dumps(told.operator.inspect(what), default=str), what)


def test_no_argument_of_a_process_and_no_command_tells_a_caller_or_a_secret(told: Told):
    """What `ps` shows, and what an operator's commands print."""
    lines = [psutil.Process(pid).cmdline() for pid in told.installation.pids]
    hidden(json.dumps(lines), "ps")
    commands = [
        ("check",),
        ("gates",),
        ("report",),
        ("dead", "list"),
        *(("lead", one) for one in sorted(told.outcomes)[:4]),
    ]
    for command in commands:
        done = told.installation.command(*command)
        assert "Traceback" not in done.stderr, done
        hidden(done.stdout + done.stderr, " ".join(command))


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _value(broker: redis.Redis, name: str) -> str:
    read = {
        b"string": lambda: broker.get(name),
        b"list": lambda: broker.lrange(name, 0, -1),
        b"hash": lambda: broker.hgetall(name),
        b"set": lambda: broker.smembers(name),
        b"zset": lambda: broker.zrange(name, 0, -1, withscores=True),
        b"stream": lambda: broker.xrange(name),
        b"none": lambda: "",
    }
    return str(read[broker.type(name)]())  # type: ignore[index]  # redis-py's stubs allow for its other client

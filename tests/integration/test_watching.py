"""Who watches sees what happens to leads, and nothing of callers: in Flower, in the log, by Celery's own commands."""

from __future__ import annotations

import json
import os
import re
import urllib.request
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, urlsplit

import psutil
import pytest
from sqlalchemy import select

from tasks.ledger.schema import attempts
from tests.integration.conftest import House
from tests.integration.echo import REFUSED, UNREADABLE
from tests.integration.installation import IDENTITY, KEY, lead, wait_for

Outcome = dict[str, Any]


@pytest.fixture(scope="module")
def told(house: House) -> dict[str, Outcome]:
    """The outcomes of leads among whose buyers is one that says back all that it is told, key and identity."""
    leads = (
        lead("w-sold"),
        lead("w-refused", zipcode="05000"),
        lead("w-echo", flow="one_step", zipcode=UNREADABLE),
        lead("w-echo-refused", flow="one_step", zipcode=REFUSED),
    )
    return {outcome["lead_id"]: outcome for outcome in house.upstream.sell(*leads)}


def _get(house: House, path: str) -> str:
    with urllib.request.urlopen(house.installation.flower + path, timeout=20) as answer:
        text: str = answer.read().decode()
        return text


def _tasks(house: House) -> dict[str, dict[str, Any]]:
    tasks: dict[str, dict[str, Any]] = json.loads(_get(house, "/api/tasks"))
    return tasks


def _workers(house: House) -> dict[str, Any]:
    """What Flower learns from the workers when it asks them; they have a second to answer."""

    def all_of_them() -> dict[str, Any] | None:
        found = json.loads(_get(house, "/api/workers?refresh=1"))
        return found if len(found) == 2 and all("stats" in worker for worker in found.values()) else None

    return wait_for(all_of_them, 20)


def _of(tasks: dict[str, dict[str, Any]], name: str, lead_id: str) -> dict[str, str]:
    """The tasks of this name for a lead, with their states."""
    return {i: task["state"] for i, task in tasks.items() if task["name"] == name and f"'{lead_id}'" in task["args"]}


def _secrets(house: House) -> Iterable[str]:
    password = urlsplit(house.installation.broker_url).password
    return (*IDENTITY, KEY, *([password] if password and password != "guest" else []))


def _assert_discreet(house: House, text: str, where: str) -> None:
    found = [word for word in _secrets(house) if word in text]
    assert found == [], f"{where} shows {[re.search(f'.{{0,60}}{re.escape(word)}', text) for word in found]}"


def test_flower_shows_a_refused_ping_as_done_and_no_post(house: House, told: dict[str, Outcome]):
    """A ping that ends its lead is a success; there is no task of a post for it, and no failure anywhere."""
    assert told["w-refused"]["status"] == "rejected"

    def shown() -> dict[str, dict[str, Any]] | None:
        tasks = _tasks(house)
        done = _of(tasks, "ping", "w-refused"), _of(tasks, "post", "w-sold")
        return tasks if all("SUCCESS" in states.values() for states in done) else None

    tasks = wait_for(shown, 20)
    assert list(_of(tasks, "ping", "w-refused").values()) == ["SUCCESS"]
    assert _of(tasks, "post", "w-refused") == {}
    assert "FAILURE" not in {task["state"] for task in tasks.values()}
    assert {name.partition(".")[0] for name in _workers(house)} == {"ping1", "post1"}


def test_flower_counts_the_queues_that_no_worker_takes_from_too(house: House):
    """The front door and the dead letters; on RabbitMQ without its management API."""
    house.upstream.send_raw(b"no lead")

    def shown() -> dict[str, dict[str, Any]] | None:
        queues = {queue["name"]: queue for queue in json.loads(_get(house, "/api/queues/length"))["active_queues"]}
        buried = queues["leads.dead"]
        return queues if max(buried.get("messages", 0), buried.get("messages_ready", 0)) > 0 else None

    queues = wait_for(shown, 20)
    assert queues.keys() >= {"leads", "ping", "post", "upkeep", "dead"}
    assert all(f"<td>{name}</td>" in _get(house, "/broker") for name in queues)


def test_no_page_of_flower_shows_a_caller_or_a_secret(house: House, told: dict[str, Outcome]):
    """Neither the API nor the pages: lists, each task, each worker, the broker, the metrics."""
    assert told["w-sold"]["status"] == "sold"
    tasks = wait_for(lambda: found if _of(found := _tasks(house), "one_step", "w-echo") else None, 20)
    chosen = [
        task
        for name, lead_id in (("ping", "w-sold"), ("post", "w-sold"), ("one_step", "w-echo"))
        for task in _of(tasks, name, lead_id)
    ]
    workers = _workers(house)
    paths = ["/api/tasks", "/api/workers", "/api/task/types", "/api/queues/length", "/workers", "/tasks", "/broker"]
    paths += ["/metrics", *(f"/worker/{quote(name)}" for name in workers)]
    paths += [path for task in chosen for path in (f"/api/task/info/{task}", f"/task/{task}")]
    for path in paths:
        page = _get(house, path)
        assert page
        _assert_discreet(house, page, path)
    assert len(chosen) == 3


def test_celery_s_own_inspection_shows_ids_alone(house: House):
    """Tasks that run, that wait, and that are asked for by their id tell a lead's id and nothing of its caller."""
    seen = ""
    for number in range(5):  # a call is over before long: look while one is under way
        house.upstream.send(lead(f"w-slow-{number}", zipcode="03001"))
        house.buyer.wait_for(
            lambda book: sum(call["zipcode"] == "03001" for call in book["calls"]) > number,  # noqa: B023 - at once
            timeout_s=20,
        )
        seen = json.dumps(house.operator.inspect("active"))
        if "w-slow-" in seen:
            break
    assert "w-slow-" in seen
    _assert_discreet(house, seen, "active")
    task = next(iter(wait_for(lambda: _of(_tasks(house), "ping", "w-slow-0"), 20)))
    house.upstream.send(lead("w-waits", zipcode="00500", deadline_s=2))
    for what in (("reserved",), ("scheduled",), ("query_task", task), ("stats",), ("conf",)):
        _assert_discreet(house, json.dumps(house.operator.inspect(*what), default=str), what[0])
    assert house.upstream.answer("w-waits")["status"] == "expired"


def test_a_worker_tells_which_cpu_its_threads_share(house: House):
    """All that a worker runs is bound to one CPU, where there are several."""
    shared = {name.partition(".")[0]: stats["cpu"] for name, stats in house.operator.inspect("stats").items()}
    all_of_them = os.sched_getaffinity(0)
    assert len(shared) == 2
    for name, cpu in shared.items():
        threads = [os.sched_getaffinity(thread.id) for thread in house.installation.part(name).threads()]
        assert len(threads) > 16
        assert threads == [{cpu}] * len(threads) if len(all_of_them) > 1 else cpu is None


def test_an_answer_that_cannot_be_read_alarms_with_its_masked_text(house: House, told: dict[str, Outcome]):
    """The alarm has what an operator can forward to the buyer; the lead is `unknown`, for it may be sold."""
    assert (told["w-echo"]["status"], told["w-echo"]["stage"]) == ("unknown", "post")
    alarm = house.installation.wait_for_line("alarm", lead_id="w-echo")
    assert "sorry" in alarm["answer"]
    assert UNREADABLE in alarm["answer"]
    assert "***" in alarm["answer"]
    _assert_discreet(house, json.dumps([alarm, told["w-echo"]]), "the alarm")


def test_a_reason_that_says_the_caller_back_is_masked(house: House, told: dict[str, Outcome]):
    """The producer, the log and the ledger have the buyer's words without what was told to it in confidence."""
    outcome = told["w-echo-refused"]
    assert (outcome["status"], outcome["code"]) == ("rejected", 5000)
    assert outcome["reason"].startswith("Nobody wants it. ")
    assert "***" in outcome["reason"]
    told_again = house.installation.command("lead", "w-echo-refused", "--json").stdout
    assert "Nobody wants it. " in told_again
    _assert_discreet(house, json.dumps(outcome) + told_again, "the refusal")


def test_no_argument_of_a_process_holds_a_caller_or_a_secret(house: House, told: dict[str, Outcome]):
    """What everyone on the machine may read of our processes, their arguments, holds no secret."""
    assert told
    lines = [psutil.Process(pid).cmdline() for pid in house.installation.pids]
    assert len(lines) >= 6
    _assert_discreet(house, json.dumps(lines), "an argument")


def test_every_token_and_price_of_the_ledger_stands_on_a_line_of_the_log(house: House, told: dict[str, Outcome]):
    """The log alone tells what was bid and sold; each of its lines is one JSON object with an event, and discreet."""
    assert told
    statement = select(attempts.c.lead_id, attempts.c.token, attempts.c.price).where(attempts.c.token.is_not(None))
    kept = house.installation.ledger.read(lambda connection: connection.execute(statement).all())
    logged = {(line["lead_id"], line.get("token")) for line in house.installation.lines("buyer.call")}
    assert len(kept) > 0
    assert {(row.lead_id, row.token) for row in kept} <= logged
    priced = {(line["lead_id"], line.get("price")) for line in house.installation.lines("buyer.call")}
    assert ("w-sold", "12.50") in priced
    _assert_discreet(house, house.installation.log_text(), "the log")


def test_an_installation_that_nothing_befell_warns_of_nothing(house: House, told: dict[str, Outcome]):
    """Beyond what leads and buyers did: no part died, no broker, store or ledger was away, no outcome stayed untold."""
    assert told
    loud = [line["event"] for line in house.installation.lines() if line.get("level") in ("warning", "error")]
    # Other tests take a queue's consumers away for a while, which kombu tells.
    befell = {event for event in loud if not event.startswith("Requeuing undeliverable message")}
    assert befell <= {"alarm", "gate.closed", "lead.buried"}
    of_ours = [line for line in house.installation.lines("alarm") if "fault of ours" in line["reason"]]
    assert of_ours == []

"""Flower in a real browser: what an operator sees of sales, refusals, waiting leads and a dead worker; and may do.

It is started in three ways that a browser can reach: by `pingpost up`, where there is no password; by Celery's own
command behind a password; and so for who may only look. (As docker-compose.yml starts it: `tests/compose`.)
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

import psutil
import pytest
from celery import Celery
from flower.urls import handlers
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from sqlalchemy import update
from tornado.web import RequestHandler, url

from ops.sandbox import Sandbox
from ops.servers.own import OwnServer
from tasks.buyers.registry import load_protocol
from tasks.core.lead import Flow
from tasks.core.protocol import Call
from tasks.core.validation import Defaults, read_lead
from tasks.ledger import Arrival
from tasks.ledger.schema import leads
from tests.browser.flower import (
    OPERATOR,
    PASSWORD,
    WITHIN_S,
    all_done,
    asked,
    celery,
    open_task,
    open_tasks,
    open_worker,
    rows,
    sign_in,
    start_flower,
    until,
    workers,
)
from tests.integration.installation import IDENTITY, KEY, Installation, installed, lead, wait_for
from tests.integration.upstream import Upstream

pytestmark = pytest.mark.browser

MORE: Final = "more@elsewhere"
SCENARIO: Final[Mapping[str, Any]] = {
    "prices": {"16001": "12.50"},
    "rules": [
        {"call": "ping", "zipcode": "05000", "code": 5000},
        {"call": "post", "zipcode": "05001", "code": 5000},
        {"call": "ping", "zipcode": "01000", "code": 1000, "first": 1},
        {"call": "post", "zipcode": "01100", "code": 1100, "first": 1},
    ],
}
LEADS: Final = (
    *(lead(f"b-sold-{number}") for number in range(6)),
    lead("b-refused", zipcode="05000"),
    lead("b-refused-late", zipcode="05001"),
    lead("b-waited", zipcode="01000"),
    lead("b-slowed", zipcode="01100"),
)
DONE: Final = all_done(2 * len(LEADS) - 1)  # one of them has no post


@dataclass(frozen=True)
class Seen:
    """An installation whose leads have their outcomes, its three Flowers, and a worker more that can be killed."""

    installation: Installation
    guarded: str
    read_only: str
    more: psutil.Process


def _wait_for_the_other_worker(url: str) -> None:
    """Wait until a Flower knows the worker of the other machine."""
    wait_for(lambda: MORE in asked(f"{url}/workers?json=1", OPERATOR)[1], WITHIN_S)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """One installation for all tests here; its Flowers are there before the first lead."""
    with ExitStack() as stack:
        buyer = stack.enter_context(Sandbox(SCENARIO))
        folder = tmp_path_factory.mktemp("flower")
        closed = {"FLOWER_UNAUTHENTICATED_API": ""}
        house = stack.enter_context(installed(folder, buyer, closed))
        beside = OwnServer("flower", folder)
        stack.callback(beside.stop)
        (folder / "password").write_text(f"{OPERATOR}\n")
        password = {"FLOWER_BASIC_AUTH_FILE": str(folder / "password")}
        guarded = start_flower(beside, house, **password)
        read_only = start_flower(beside, house, **password, FLOWER_READ_ONLY="true", FLOWER_PURGE_OFFLINE_WORKERS="1")
        more = psutil.Process(celery(beside, house, "worker", "-n", MORE, "-Q", "ping").pid)
        for url in (house.flower, guarded, read_only):
            _wait_for_the_other_worker(url)
        with closing(Upstream(house.broker_url)) as upstream:
            upstream.sell(*LEADS)
        yield Seen(house, guarded, read_only, more)


def test_the_page_of_tasks_tells_what_became_of_each_lead(seen: Seen, browser: WebDriver):
    """Newest first: the lead's id as it is, its steps, their results, how often each had to wait. No tick of beat's."""
    table = open_tasks(browser, seen.installation.flower, DONE)

    assert list(table[0]) == ["Lead", "Name", "Result", "State", "Retries", "Received", "Runtime", "Worker", "UUID"]
    told: dict[str, dict[str, str]] = {}
    for row in table:
        told.setdefault(row["Lead"], {})[row["Name"]] = row["Result"]
    sold = {"ping": "bid 12.50", "post": "sold 12.50"}
    assert told == {
        **dict.fromkeys((one["lead_id"] for one in LEADS), sold),
        "b-refused": {"ping": "rejected 5000"},
        "b-refused-late": {"ping": "bid 12.50", "post": "rejected 5000"},
    }
    assert sorted((row["Received"] for row in table), reverse=True) == [row["Received"] for row in table]
    waited = {(row["Lead"], row["Name"]) for row in table if int(row["Retries"]) > 0}
    assert {("b-waited", "ping"), ("b-slowed", "post")} <= waited


def _has_tasks(number: int) -> Callable[[WebDriver], bool]:
    return lambda browser: len(rows(browser, "tasks-table")) == number


def test_the_search_box_finds_sales_and_a_lead(seen: Seen, browser: WebDriver):
    """By a word of the result, and by the lead's id."""
    open_tasks(browser, seen.installation.flower, DONE)
    for words, number in (("result:sold", len(LEADS) - 2), ("b-waited", 2)):
        box = browser.find_element(By.CSS_SELECTOR, "#tasks-table_filter input")
        box.clear()
        box.send_keys(words)
        until(browser, _has_tasks(number))


def test_a_task_s_page_tells_one_step_of_a_lead(seen: Seen, browser: WebDriver):
    """Behind its uuid: whose, what came of it, when by the log's clock; and no error where waiting was all."""
    table = open_tasks(browser, seen.installation.flower, DONE)
    row = next(row for row in table if (row["Lead"], row["Name"]) == ("b-waited", "ping"))
    link = browser.find_element(By.CSS_SELECTOR, f"a[href*='/task/{row['UUID'][:36]}']")
    assert link.is_displayed()

    told = open_task(browser, seen.installation.flower, row)

    assert (told["Name"], told["Arguments"], told["Result"]) == ("ping", "b-waited", "bid 12.50")
    assert int(told["Retries"]) > 0
    assert told["Succeeded"].endswith(" UTC")
    assert {"Exception", "Traceback"}.isdisjoint(told)


def test_no_page_tells_a_caller_or_a_secret(seen: Seen, browser: WebDriver):
    """As a browser has them when their scripts have run: lists, tasks, workers with all their tabs, the broker."""
    url = seen.guarded
    tasks = json.loads(asked(f"{url}/api/tasks", OPERATOR)[1])
    names = [row["hostname"] for row in json.loads(asked(f"{url}/workers?json=1", OPERATOR)[1])["data"]]
    assert {name.partition(".")[0] for name in names} >= {"ping1", "post1"}
    secrets = (*IDENTITY, KEY, PASSWORD, urlsplit(seen.installation.broker_url).password or KEY)
    sign_in(browser, url)
    open_tasks(browser, url, DONE)
    pages = {"/tasks": browser.page_source, "/metrics": asked(f"{url}/metrics")[1]}
    for path in (
        "/workers",
        "/broker",
        *(f"/worker/{quote(name)}" for name in names),
        *(f"/task/{one}" for one in tasks),
    ):
        browser.get(url + path)
        pages[path] = browser.page_source
    assert {"leads", "dead"} <= set(re.findall(r"<td>([\w.]+)</td>", pages["/broker"]))
    for path, text in pages.items():
        assert [word for word in secrets if word in text] == [], path


def test_who_may_only_look_finds_no_button_and_every_order_is_refused(seen: Seen, browser: WebDriver):
    """On the page of a worker; by the page's own script; and by every path that takes orders."""
    sign_in(browser, seen.read_only)
    assert open_worker(browser, seen.read_only, MORE) == MORE
    assert browser.find_elements(By.CSS_SELECTOR, "main button") == []

    order = "fetch(arguments[0], {method: 'POST'}).then((it) => arguments[1](it.status))"
    assert browser.execute_async_script(order, f"/api/worker/shutdown/{MORE}") == 403

    orders = [
        rule.regex.pattern
        for rule in map(_rule, handlers)
        if rule.regex.pattern.startswith("/api/") and _takes_orders(rule)
    ]
    assert len(orders) > 10
    for path in orders:
        assert asked(seen.read_only + path.rstrip("$").replace("(.+)", MORE), OPERATOR, "POST")[0] == 403, path
    assert seen.more.is_running()


def test_without_a_password_there_is_no_button_either_for_the_api_is_closed(seen: Seen, browser: WebDriver):
    """As `pingpost up` starts it: a page shows nothing that would not work."""
    url = seen.installation.flower
    assert open_worker(browser, url, MORE) == MORE
    assert browser.find_elements(By.CSS_SELECTOR, "main button") == []
    assert asked(f"{url}/api/workers")[0] == 401
    assert asked(f"{url}/api/worker/shutdown/{MORE}", method="POST")[0] == 401


def test_with_the_password_a_worker_is_asked_to_end_and_comes_back(seen: Seen, browser: WebDriver):
    """401 without it. The button ends a worker in good order, and `pingpost up` starts it again."""
    for path in ("/workers", "/tasks", "/api/workers"):
        assert asked(seen.guarded + path)[0] == 401
    before = seen.installation.lines("worker.ready")
    name = next(line["worker"] for line in before if line["worker"].startswith("post1"))
    sign_in(browser, seen.guarded)
    assert open_worker(browser, seen.guarded, name) == name

    until(browser, lambda it: it.find_element(By.ID, "worker-group")).click()
    until(browser, lambda it: it.find_element(By.ID, "worker-shutdown")).click()

    assert until(browser, lambda it: it.find_element(By.CSS_SELECTOR, ".toast-body").text) == "Shutting down!"
    wait_for(lambda: len(seen.installation.lines("worker.ready", worker=name)) == 2, WITHIN_S)


def test_a_worker_is_told_to_take_from_the_front_door_and_does_not(seen: Seen):
    """The button is for one more queue of tasks. Of leads it would make dead letters."""
    node = next(line["worker"] for line in seen.installation.lines("worker.ready"))
    order = f"{seen.guarded}/api/worker/queue/add-consumer/{quote(node)}?queue=leads"
    wait_for(lambda: asked(order, OPERATOR, "POST")[0] == 200, WITHIN_S)  # Flower gives a worker a second to answer
    seen.installation.wait_for_line("queue.refused", queue="leads")


def test_a_fault_of_ours_is_seen_with_its_place(seen: Seen, browser: WebDriver):
    """Here a lead whose content was lost. The error's own text is told to nobody."""
    broken = read_lead(lead("b-broken"), load_protocol(), Defaults(Flow.PING_POST, 20, "123", test_mode=False))
    ledger = seen.installation.ledger
    ledger.accept([Arrival(broken, Call.PING, test=False)])
    ledger.write(lambda it: it.execute(update(leads).where(leads.c.lead_id == "b-broken").values(content='"lost"')))
    with Celery(broker=seen.installation.broker_url, set_as_current=False) as app:
        app.send_task("ping", ["b-broken"], queue="ping")

    url = seen.installation.flower
    row = open_tasks(browser, url, lambda table: table[0]["State"] == "FAILURE")[0]
    told = open_task(browser, url, row)

    assert row["Lead"] == "b-broken"
    assert told["Exception"].startswith("AttributeError in ")
    assert "Traceback" not in told


def test_a_worker_that_was_killed_is_seen_to_be_dead_and_goes_away(seen: Seen, browser: WebDriver):
    """Offline once its heartbeat stays out; off the page `FLOWER_PURGE_OFFLINE_WORKERS` seconds after the last one."""
    browser.get(f"{seen.installation.flower}/workers")
    until(browser, lambda it: set(workers(it).items()) >= {(MORE, "Online"), ("ping1", "Online")})

    seen.more.kill()

    until(browser, lambda it: set(workers(it).items()) >= {(MORE, "Offline"), ("ping1", "Online")})
    sign_in(browser, seen.read_only)
    browser.get(f"{seen.read_only}/workers")
    until(browser, lambda it: set(workers(it)) == {"ping1", "post1"})


def _rule(handler: Any) -> Any:
    return handler if isinstance(handler, url) else url(*handler[:2])


def _takes_orders(rule: Any) -> bool:
    return rule.handler_class.post is not RequestHandler.post

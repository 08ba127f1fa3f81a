"""Flowers beside an installation, asked with and without a browser, and what their pages show."""

from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from typing import Final, TypeVar

from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from ops.servers.own import OwnServer, free_port
from tests.integration.installation import Installation, wait_for

T = TypeVar("T")
WITHIN_S: Final = 45
PASSWORD: Final = "flower-0b7d1f"
OPERATOR: Final = f"operator:{PASSWORD}"


def celery(beside: OwnServer, house: Installation, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    """Start a command of Celery's beside the installation, as `celery -A workers …` on a shell does."""
    given = {**house.environment, "PINGPOST_BROKER_URL": house.broker_url, **environment}
    return beside.run([sys.executable, "-m", "celery", "-A", "workers", *arguments], env=given)


def start_flower(beside: OwnServer, house: Installation, **environment: str) -> str:
    """Start another Flower, and give its URL when it answers."""
    port = free_port()
    celery(beside, house, "flower", FLOWER_PORT=str(port), **environment)
    url = f"http://127.0.0.1:{port}"
    wait_for(lambda: asked(f"{url}/healthcheck")[0] == 200, WITHIN_S, lambda: beside.output)
    return url


def asked(url: str, credentials: str = "", method: str = "GET") -> tuple[int, str]:
    """Ask without a browser. Gives status and text; 0: nobody answers."""
    request = urllib.request.Request(url, method=method)
    if credentials:
        request.add_header("Authorization", f"Basic {b64encode(credentials.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()
    except OSError:
        return 0, ""


def sign_in(browser: WebDriver, url: str) -> None:
    """Let the browser remember the password for an address, as it does of whom it has asked for it."""
    browser.get(f"{url}/healthcheck".replace("//", f"//{OPERATOR}@"))
    browser.get(f"{url}/broker".replace("//", f"//{OPERATOR}@"))


def until(browser: WebDriver, look: Callable[[WebDriver], T]) -> T:
    """Look at a page that changes by itself, until something is there."""
    return WebDriverWait(browser, WITHIN_S, poll_frequency=0.1).until(look)


def rows(browser: WebDriver, table: str) -> list[dict[str, str]]:
    """What a table of the page shows, each row by its headings."""
    script = """
        const texts = (cells) => [...cells].map((it) => it.textContent.trim());
        const row = `#${arguments[0]} tbody tr`;
        const heads = document.querySelectorAll('.dataTables_scrollHead thead th');
        return [texts(heads), ...[...document.querySelectorAll(row)].map((it) => texts(it.cells))];
    """
    heads, *cells = browser.execute_script(script, table)
    return [dict(zip(heads, row, strict=True)) for row in cells if len(row) == len(heads)]


def workers(browser: WebDriver) -> dict[str, str]:
    """The workers on their page, by the beginning of their names, with their states."""
    return {row["Worker"].partition(".")[0]: row["Status"] for row in rows(browser, "workers-table")}


def open_worker(browser: WebDriver, url: str, name: str) -> str:
    """Open the page of a worker, and give the name that it shows.

    There is none before the worker has answered Flower, which gives it a second for that, each time.
    """

    def found(it: WebDriver) -> str | None:
        it.get(f"{url}/worker/{name}")
        return next((shown.text for shown in it.find_elements(By.ID, "workername")), None)

    return until(browser, found)


def open_tasks(browser: WebDriver, url: str, look: Callable[[list[dict[str, str]]], object]) -> list[dict[str, str]]:
    """Open the page of tasks, fifty a page; give its rows when they are what is looked for. By itself it asks once."""
    browser.get(f"{url}/broker")
    browser.execute_script("localStorage.clear()")  # it keeps what was searched for
    browser.get(f"{url}/tasks")
    choice = until(browser, lambda it: it.find_element(By.CSS_SELECTOR, "#tasks-table_length select"))
    Select(choice).select_by_value("50")

    def found(it: WebDriver) -> list[dict[str, str]] | None:
        it.execute_async_script("$('#tasks-table').DataTable().ajax.reload(arguments[0])")
        table = rows(it, "tasks-table")
        return table if look(table) else None

    return until(browser, found)


def all_done(number: int) -> Callable[[list[dict[str, str]]], bool]:
    """So many tasks, and none under way."""
    return lambda table: [row["State"] for row in table] == ["SUCCESS"] * number


def open_task(browser: WebDriver, url: str, row: dict[str, str]) -> dict[str, str]:
    """Open the page of a row's task, and give what it tells."""
    uuid = row["UUID"][:36]  # its beginning stands there once more, for narrow windows
    browser.get(f"{url}/task/{uuid}")
    until(browser, lambda it: uuid[:8] in it.title)
    return {
        row.find_element(By.TAG_NAME, "dt").text: row.find_element(By.TAG_NAME, "dd").text
        for row in browser.find_elements(By.CSS_SELECTOR, ".detail-row")
    }

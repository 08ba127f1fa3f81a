"""``make pictures``: an installation on a mixed day, and Flower's pages of it for the documents."""

from __future__ import annotations

import tempfile
from base64 import b64decode
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final

from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from ops.sandbox import Sandbox
from ops.servers.own import OwnServer
from tests.browser.chromium import chromium
from tests.browser.flower import (
    OPERATOR,
    WITHIN_S,
    asked,
    celery,
    open_task,
    open_tasks,
    rows,
    sign_in,
    start_flower,
    until,
    workers,
)
from tests.integration.installation import installed, lead, wait_for
from tests.integration.upstream import Upstream

WIDTH, HEIGHT, SCALE = 1600, 1600, 0.8  # high enough that no page scrolls
PICTURES: Final = Path(__file__).parents[2] / "ops" / "pictures"
MORE: Final = "ping2@second-machine"
SCENARIO: Final[dict[str, Any]] = {
    "prices": {"16001": "14.25", "16002": "9.50", "16003": "21.00"},
    "latency_ms": [20, 60],
    "caps": [{"count": 1, "per": "category", "numcategory": 16004}],
    "rules": [
        {"call": "ping", "zipcode": "05000", "code": 5000},
        {"call": "post", "zipcode": "05001", "code": 5000},
        {"call": "ping", "zipcode": "06000", "code": 6000},
        {"call": "post", "zipcode": "01100", "code": 1100, "first": 1},
        {"call": "ping", "zipcode": "01000", "code": 1000},
        {"call": "post", "zipcode": "09000", "fault": "reset"},
    ],
}
# Each lead's category, zip code and flow. The last one still waits, for the buyer is under maintenance then.
DAY: Final = (
    (16001, "33139", "ping_post"),
    (16002, "05000", "ping_post"),
    (16004, "33139", "ping_post"),
    (16003, "05001", "ping_post"),
    (16004, "33139", "ping_post"),
    (16002, "33139", "one_step"),
    (16003, "01100", "ping_post"),
    (16001, "06000", "ping_post"),
    (16001, "09000", "ping_post"),
    (16003, "33139", "ping_post"),
)
LAST: Final = lead("call-2026-2051", zipcode="01000")


def main() -> None:
    """Take the pictures anew."""
    PICTURES.mkdir(exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pingpost-pictures-")))
        buyer = stack.enter_context(Sandbox(SCENARIO))
        house = stack.enter_context(installed(folder, buyer))
        beside = OwnServer("flower", folder)
        stack.callback(beside.stop)
        url = start_flower(beside, house, FLOWER_BASIC_AUTH=OPERATOR)
        more = celery(beside, house, "worker", "-n", MORE, "-Q", "ping")
        wait_for(lambda: MORE in asked(f"{url}/workers?json=1", OPERATOR)[1], WITHIN_S)
        browser = stack.enter_context(chromium(folder / "profile"))
        browser.set_window_size(WIDTH, HEIGHT)
        sign_in(browser, url)
        upstream = stack.enter_context(closing(Upstream(house.broker_url)))
        for number, (numcategory, zipcode, flow) in enumerate(DAY, start=2041):
            upstream.sell(lead(f"call-2026-{number}", numcategory=numcategory, zipcode=zipcode, flow=flow))
        upstream.send_raw(b"no lead")
        more.kill()
        upstream.send(LAST)
        look_at_tasks(browser, url)
        look_at_workers(browser, url)
        browser.get(f"{url}/broker")
        save(browser, "broker")


def look_at_tasks(browser: Chrome, url: str) -> None:
    """The list while the last lead waits, and one task of it."""
    table = open_tasks(browser, url, waits)
    save(browser, "tasks")
    open_task(browser, url, next(row for row in table if row["Result"].startswith("sold") and row["Retries"] > "1"))
    save(browser, "task")


def waits(table: list[dict[str, str]]) -> bool:
    """Whether the last lead is on top, and was put off."""
    last = table[0]
    return (last["Lead"], last["State"]) == (LAST["lead_id"], "RECEIVED") and int(last["Retries"]) > 1


def look_at_workers(browser: Chrome, url: str) -> None:
    """All of them, when the dead one is seen to be dead; and one with what can be changed of it."""
    browser.get(f"{url}/workers")
    until(browser, lambda it: "Offline" in workers(it).values())
    save(browser, "workers")
    node = next(row["Worker"] for row in rows(browser, "workers-table") if row["Worker"].startswith("post1"))
    browser.get(f"{url}/worker/{node}")
    until(browser, lambda it: it.find_element(By.ID, "worker-group")).click()
    save(browser, "worker")


def save(browser: Chrome, name: str) -> None:
    """Keep a picture of the page, as high as what it shows."""
    bottom = (
        "return Math.max(...[...document.querySelectorAll('main *')].map((it) => it.getBoundingClientRect().bottom))"
    )
    clip = {"x": 0, "y": 0, "width": WIDTH, "height": browser.execute_script(bottom) + 24, "scale": SCALE}
    taken = browser.execute_cdp_cmd("Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True})
    (PICTURES / f"flower-{name}.png").write_bytes(b64decode(taken["data"]))


if __name__ == "__main__":
    main()

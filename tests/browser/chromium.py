"""A real browser without a screen, and with a profile of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

ARGUMENTS: Final = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1440,900",
)


class NoChromium(Exception):
    """It is not installed, or its driver is not."""


@contextmanager
def chromium(profile: Path) -> Iterator[webdriver.Chrome]:
    """Run Chromium.

    Raises:
        NoChromium: see there.
    """
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (program and driver):
        raise NoChromium("no chromium, or no chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in (*ARGUMENTS, f"--user-data-dir={profile}"):
        options.add_argument(argument)
    with webdriver.Chrome(options, Service(driver)) as browser:
        yield browser

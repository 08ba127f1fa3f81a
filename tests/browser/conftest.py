"""The browser of these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium.webdriver.remote.webdriver import WebDriver

from tests.browser.chromium import NoChromium, chromium
from tests.servers.need import missing


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    """Chromium, started once for the run."""
    try:
        with chromium(tmp_path_factory.mktemp("profile")) as started:
            yield started
    except NoChromium as reason:
        missing(str(reason))

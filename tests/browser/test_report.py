"""`pingpost report --html` in a real browser: it shows what the ledger holds, on any screen, and asks for nothing.

What it should show is added up here, lead by lead, from the ledger's rows.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner
from selenium.webdriver.remote.webdriver import WebDriver
from sqlalchemy import Row, select, update

from tasks.core.states import State
from tasks.ledger import Ledger, migrate
from tasks.ledger.rows import to_ms
from tasks.ledger.schema import leads
from tests.ledger.crowd import fill
from tests.ledger.stories import bring
from workers.cli import main

pytestmark = pytest.mark.browser

NEW_YORK: Final = ZoneInfo("America/New_York")
FIRST, LAST = date(2026, 10, 20), date(2026, 11, 17)  # the day of 25 hours is among them
MICROS: Final = 1_000_000
TABLE: Final = """
    return [...document.querySelectorAll(`#${arguments[0]} tbody tr`)].map(
        row => [...row.cells].map(cell => (cell.querySelector("bdi") ?? cell).textContent.trim()))
"""
HEIGHTS: Final = """
    return [...document.querySelectorAll(`#${arguments[0]} .inner > rect:not(.slot)`)].map(
        bar => bar.getBoundingClientRect().height)
"""
LABELS: Final = """
    return [...document.querySelectorAll(".plot")].map(plot => [...plot.querySelectorAll(".label")]
        .map(label => label.getBoundingClientRect()).filter(box => box.width).map(box => [box.left, box.right]))
"""


@dataclass
class Books:
    """A ledger on disk, its live leads, and where strangers would like a browser to call."""

    data: Path
    ended: list[Row[Any]]
    elsewhere: str
    heard: list[str]

    def page(self, first: date = FIRST, last: date = LAST) -> str:
        """Draw the page of these days; gives its address."""
        name = f"{first}-{last}.html"
        with pytest.MonkeyPatch.context() as monkeypatch:
            for variable in [variable for variable in os.environ if variable.startswith("PINGPOST_")]:
                monkeypatch.delenv(variable)
            monkeypatch.setenv("PINGPOST_DATA", str(self.data))
            asked = ["report", "--since", str(first), "--until", str(last), "--html", str(self.data / name)]
            result = CliRunner().invoke(main, asked, catch_exceptions=False)
        assert (result.exit_code, result.stdout) == (0, "")
        return (self.data / name).as_uri()

    def strangers(self) -> list[str]:
        """Sub sources that would be more than text, where a page let them."""
        return [
            f'<img src="{self.elsewhere}/image" onerror="document.title=1">',
            f'</bdi></td></table><script src="{self.elsewhere}/script"></script><script>document.title=1</script>',
            f'"><link rel="stylesheet" href="{self.elsewhere}/style"><style>@import "{self.elsewhere}/import";</style>',
            "&lt;b&gt; \N{RIGHT-TO-LEFT OVERRIDE}gpj.exe",
        ]


@dataclass
class Sums:
    """What a group of leads brought, in micro-dollars."""

    leads: int = 0
    sold: int = 0
    payout: int = 0
    quoted: int = 0
    confirmed: int = 0
    bids: list[int] = field(default_factory=list)

    def add(self, lead: Row[Any]) -> None:
        self.leads += 1
        if lead.price_quoted is not None:
            self.bids.append(lead.price_quoted)
        if lead.status == "sold":
            self.sold += 1
            self.quoted += lead.price_quoted
            self.confirmed += lead.price_confirmed or 0
            self.payout += lead.price_quoted if lead.price_confirmed is None else lead.price_confirmed


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Books]:
    """A month of three thousand leads, and four of strangers who would like to be heard of."""
    heard: list[str] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(self.path)
            self.send_error(404)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    data = tmp_path_factory.mktemp("books")
    book = Books(data, [], f"http://127.0.0.1:{server.server_port}", heard)
    url = f"sqlite:///{data / 'ledger.sqlite3'}"
    migrate(url)
    ledger = Ledger.open(url)
    for number, subid in enumerate(book.strangers()):
        bring(ledger, State.SOLD, f"stranger-{number}", subid=subid)
    with ledger.engine.begin() as connection:
        # Good enough to be among the sub sources that are named.
        noon, good = to_ms(datetime(2026, 11, 17, 17, tzinfo=UTC)), 500 * MICROS
        connection.execute(update(leads).values(ended_at=noon, price_quoted=good, price_confirmed=good))
        fill(connection, 3000, first=datetime(2026, 10, 20, 4, tzinfo=UTC), days=29)
    book.ended = list(ledger.read(lambda connection: connection.execute(select(leads).where(~leads.c.test)).all()))
    ledger.close()
    yield book
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def page(books: Books) -> str:
    """The address of the month's page."""
    return books.page()


@pytest.fixture
def opened(browser: WebDriver, page: str) -> Iterator[WebDriver]:
    """A browser that has the page before it, and has said nothing yet."""
    browser.get_log("browser")
    browser.get(page)
    yield browser
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def sums(books: Books, *names: str) -> dict[tuple[Any, ...], Sums]:
    found: dict[tuple[Any, ...], Sums] = {}
    for lead in books.ended:
        at = datetime.fromtimestamp(lead.ended_at / 1000, NEW_YORK)
        member = {"day": at.date(), "hour": at.hour, **lead._mapping}
        found.setdefault(tuple(member[name] for name in names), Sums()).add(lead)
    return found


def dollars(micros: float) -> str:
    return f"{micros / MICROS:,.2f}"  # all amounts here are whole cents


def table(browser: WebDriver, section: str) -> list[list[str]]:
    found: list[list[str]] = browser.execute_script(TABLE, section)
    return found


def test_the_figures_on_top_are_the_ledger_s(opened: WebDriver, books: Books):
    whole = sums(books)[()]
    unknown = [lead for lead in books.ended if lead.status == "unknown"]
    answered = [lead for lead in books.ended if lead.code != 1100]
    figures = opened.execute_script("return [...document.querySelectorAll('.figures div')].map(each => each.innerText)")
    told = [figure.replace("\N{NO-BREAK SPACE}", " ").split("\n") for figure in figures]
    assert told[:4] == [
        ["payout", f"$ {dollars(whole.payout)}", f"$ {dollars(whole.confirmed)} of it confirmed"],
        ["sold", f"{whole.sold:,}", f"{whole.sold / whole.leads:.1%} of {whole.leads:,} leads"],
        [
            "accept rate",
            f"{len(whole.bids) / len(answered):.1%}",
            f"{len(whole.bids):,} bids of {len(answered):,} answered",
        ],
        ["average bid", f"$ {dollars(sum(whole.bids) / len(whole.bids))}", f"{whole.leads:,} pings made"],
    ]
    cut = sum(lead.price_quoted - lead.price_confirmed for lead in books.ended if lead.price_confirmed)
    assert told[4] == ["difference", f"\N{MINUS SIGN}$ {dollars(cut)}", "confirmed less quoted"]
    assert told[5][:2] == ["possible sales", f"{len(unknown)}"]
    assert dollars(sum(lead.price_quoted for lead in unknown)) in told[5][2]


def test_each_day_s_payout_is_there_by_category_in_numbers_and_as_high_as_it_is(opened: WebDriver, books: Books):
    rows, heights = table(opened, "payout"), opened.execute_script(HEIGHTS, "payout")
    by_day, by_category = sums(books, "day", "numcategory"), sums(books, "numcategory")
    ranked = sorted(by_category, key=lambda member: -by_category[member].payout)
    assert len(rows) == (LAST - FIRST).days + 1
    drawn: list[int] = []
    for name, *cells in rows:
        parts = [by_day.get((date.fromisoformat(name), *member), Sums()).payout for member in ranked]
        assert cells == [*map(dollars, parts), dollars(sum(parts))]
        drawn += [part for part in parts if part]
    scale = max(heights) / max(drawn)
    assert heights == pytest.approx([max(1, part * scale) for part in drawn], abs=0.1)


def test_hours_are_those_of_the_buyer_s_clocks(opened: WebDriver, books: Books):
    by_hour = sums(books, "hour")
    assert [(hour, leads, sold, payout) for hour, leads, sold, _, payout in table(opened, "hours")] == [
        (f"{hour:02}:00", f"{brought.leads:,}", f"{brought.sold:,}", dollars(brought.payout))
        for hour, brought in ((hour, by_hour.get((hour,), Sums())) for hour in range(24))
    ]


def test_what_was_quoted_stands_beside_what_was_confirmed(opened: WebDriver, books: Books):
    by_day = sums(books, "day")
    for day, sold, quoted, confirmed, *_ in table(opened, "confirmed"):
        brought = by_day.get((date.fromisoformat(day),), Sums())
        told = (f"{brought.sold:,}", dollars(brought.quoted), dollars(brought.confirmed))
        assert (sold, quoted, confirmed) == told


def test_outcomes_categories_and_sub_sources_are_ranked(opened: WebDriver, books: Books):
    counts = Counter(lead.status for lead in books.ended)
    told = {row[0].split()[0]: row[2].replace(",", "") for row in table(opened, "outcomes")}
    assert told == {status: str(number) for status, number in counts.items()}
    by_category, by_source = sums(books, "numcategory"), sums(books, "subid")
    assert brought(table(opened, "categories"), lambda name: name.split()[0]) == paid(by_category)
    assert brought(table(opened, "sources"), lambda name: name)[:12] == paid(by_source)[:12]
    assert [name for name, *_ in table(opened, "sources")[12:]] == ["1 more"]


def test_a_stranger_s_sub_source_is_text_and_nothing_is_loaded_or_run(opened: WebDriver, books: Books):
    assert {name for name, *_ in table(opened, "sources")} >= set(books.strangers())
    assert opened.title == f"pingpost report, {FIRST} to {LAST}"
    # What is asked for stands in the first, what the page's own policy stopped in the second.
    assert opened.execute_script("return performance.getEntriesByType('resource').map(each => each.name)") == []
    assert opened.get_log("browser") == []
    assert books.heard == []
    assert opened.execute_script("return document.scripts.length") == 0


@pytest.mark.parametrize(("width", "columns"), [(320, 1), (390, 1), (768, 1), (1280, 2), (1920, 2)])
def test_it_fits_a_telephone_and_a_screen(opened: WebDriver, width: int, columns: int):
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    assert opened.execute_script("return document.documentElement.scrollWidth") == width
    lefts = opened.execute_script(
        "return [...document.querySelectorAll('section')].map(each => Math.round(each.getBoundingClientRect().left))"
    )
    assert len(set(lefts)) == columns
    for labels in opened.execute_script(LABELS):
        assert all(left[1] < right[0] for left, right in pairwise(sorted(labels)))


@pytest.mark.parametrize(
    ("first", "pace", "steps"), [(date(2026, 6, 1), "week", 25), (date(2023, 1, 10), "month", 47), (LAST, "day", 1)]
)
def test_a_long_time_is_drawn_by_week_or_month(browser: WebDriver, books: Books, first: date, pace: str, steps: int):
    browser.get(books.page(first, LAST))
    assert browser.execute_script("return document.querySelector('#payout h2').textContent") == f"Payout by {pace}"
    rows = table(browser, "payout")
    days = sums(books, "day")
    whole = sum(brought.payout for (day,), brought in days.items() if day >= first)
    assert len(rows) == steps
    assert sum(round(float(row[-1].replace(",", "")) * MICROS) for row in rows) == whole


def test_where_no_lead_ended_it_says_so(browser: WebDriver, books: Books):
    browser.get(books.page(date(2020, 1, 1), date(2020, 1, 2)))
    main_part = browser.execute_script("return document.querySelector('main').innerText")
    assert main_part == "No lead ended in these days."


def brought(rows: Iterable[list[str]], named: Any) -> list[tuple[str, str, str]]:
    return [(named(name), payout, sold) for name, _bar, payout, sold, *_ in rows]


def paid(groups: dict[tuple[Any, ...], Sums]) -> list[tuple[str, str, str]]:
    ranked = sorted(groups.items(), key=lambda each: (-each[1].payout, -each[1].leads, each[0]))
    return [(str(member), dollars(each.payout), f"{each.sold:,}") for (member,), each in ranked]

"""`pingpost report`: what leads brought, for people, for scripts and for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from click.testing import Result
from sqlalchemy import update

from tasks.core.caps import buyer_day
from tasks.core.outcome import Status
from tasks.core.protocol import Call
from tasks.core.states import State
from tasks.ledger import Ledger
from tasks.ledger.rows import to_ms
from tasks.ledger.schema import leads
from tests.ledger.stories import SALE, bring, end, exchange, sold
from workers.report.sheet import safe

Run = Callable[..., Result]
ZONE = ZoneInfo("America/New_York")


def sell(ledger: Ledger, lead_id: str, at: datetime | None = None, **how: str | bool) -> None:
    mine = bring(ledger, State.POSTING, lead_id, **how)
    ledger.settle(mine, exchange(Call.POST, SALE), sold(mine))
    if at:
        with ledger.engine.begin() as connection:
            connection.execute(update(leads).where(leads.c.lead_id == lead_id).values(ended_at=to_ms(at)))


def test_today_s_payouts_are_told_without_being_asked_for(ledger: Ledger, run: Run):
    sell(ledger, "L1")
    sell(ledger, "L2", test=True)
    mine = bring(ledger, State.POSTING, "L3")
    ledger.move(mine, end(mine, Status.UNKNOWN))
    (row,) = json.loads(run("report", "--json").stdout)
    assert (
        row.items()
        >= {
            "day": buyer_day(datetime.now(UTC), ZONE, time(0)).isoformat(),
            "numcategory": 16001,
            "subid": "123",
            "sold": 1,
            "price_quoted": "12.50",
            "price_confirmed": "12.00",
            "payout": "12.00",
            "possible": 1,
            "possible_payout": "12.50",
            "counts": {"sold": 1, "unknown": 1},
            "tests": {"sold": 1},
        }.items()
    )
    assert (
        row.items()
        >= {
            "leads": 2,
            "pings": 2,
            "answered": 2,
            "bids": 2,
            "accept_rate": 1.0,
            "average_bid": "12.50",
            "posts": 2,
            "price_difference": "-0.50",
            "unconfirmed": 0,
        }.items()
    )


def test_the_table_has_a_row_a_group_and_the_sums(ledger: Ledger, run: Run):
    sell(ledger, "L1", subid="a")
    sell(ledger, "L2", subid="b")
    shown = run("report")
    assert shown.exit_code == 0
    assert "12.00" in shown.stdout
    assert "24.00" in shown.stdout


def test_days_are_the_buyer_s_and_both_ends_are_included(ledger: Ledger, run: Run):
    for number, hour in enumerate((3, 4, 28, 29)):  # 23:00 on the 9th, midnights in New York are at 4 and 28 UTC
        sell(ledger, f"L{number}", datetime(2026, 6, 10 + hour // 24, hour % 24, tzinfo=UTC))
    rows = json.loads(run("report", "--since", "2026-06-10", "--until", "2026-06-10", "--json").stdout)
    assert [(row["day"], row["sold"]) for row in rows] == [("2026-06-10", 1)]
    rows = json.loads(run("report", "--since", "2026-06-09", "--until", "2026-06-11", "--json").stdout)
    assert [(row["day"][-2:], row["sold"]) for row in rows] == [("09", 1), ("10", 1), ("11", 2)]


@pytest.mark.parametrize(("reset", "days"), [("00:00", ["10", "11"]), ("18:00", ["09", "10"]), ("06:30", ["09", "10"])])
def test_a_day_begins_at_the_buyer_s_hour(
    ledger: Ledger, run: Run, monkeypatch: pytest.MonkeyPatch, reset: str, days: list[str]
):
    monkeypatch.setenv("PINGPOST_BUYER_RESET", reset)
    sell(ledger, "L1", datetime(2026, 6, 10, 8, 0, tzinfo=UTC))  # 4:00 in New York
    sell(ledger, "L2", datetime(2026, 6, 11, 8, 0, tzinfo=UTC))
    for day in days:
        (row,) = json.loads(run("report", "--since", f"2026-06-{day}", "--until", f"2026-06-{day}", "--json").stdout)
        assert (row["day"], row["sold"]) == (f"2026-06-{day}", 1)


def test_no_lead_is_said_so(ledger: Ledger, run: Run):
    shown = run("report", "--since", "2020-01-01", "--until", "2020-01-02")
    assert (shown.exit_code, shown.stdout) == (
        0,
        "no lead ended between 2020-01-01 and 2020-01-02 (America/New_York)\n",
    )
    assert json.loads(run("report", "--since", "2020-01-01", "--until", "2020-01-02", "--json").stdout) == []


def test_days_the_wrong_way_round_are_refused(ledger: Ledger, run: Run):
    shown = run("report", "--since", "2026-06-11", "--until", "2026-06-10")
    assert (shown.exit_code, shown.stderr) == (2, "pingpost report: --since 2026-06-11 is after --until 2026-06-10\n")


@pytest.mark.parametrize(
    ("by", "keys"),
    [
        ("hour", {"hour": 4}),
        ("call", {"call": "ping"}),
        ("category", {"numcategory": 16001}),
        ("subid, day", {"subid": "123", "day": "2026-06-10"}),
    ],
)
def test_what_makes_a_row_is_chosen(ledger: Ledger, run: Run, by: str, keys: dict[str, str | int]):
    sell(ledger, "L1", datetime(2026, 6, 10, 8, 30, tzinfo=UTC))  # 4:30 in New York
    (row,) = json.loads(run("report", "--since", "2026-06-10", "--until", "2026-06-10", "--by", by, "--json").stdout)
    assert {name: row[name] for name in ("day", "hour", "numcategory", "subid", "call") if name in row} == keys
    assert row["sold"] == 1


@pytest.mark.parametrize("by", ["week", "day,", "day,day", ""])
def test_a_row_of_what_nobody_knows_is_refused(ledger: Ledger, run: Run, by: str):
    shown = run("report", "--by", by)
    assert shown.exit_code == 2
    assert "some of day, hour, category, subid, call" in shown.stderr


@pytest.mark.parametrize("columns", [80, 100, 120])
def test_a_narrow_terminal_cuts_no_number_and_says_what_it_goes_without(
    ledger: Ledger, run: Run, monkeypatch: pytest.MonkeyPatch, columns: int
):
    monkeypatch.setenv("COLUMNS", str(columns))
    sell(ledger, "L1", subid="a-sub-source-with-a-long-name")
    shown = run("report").stdout.splitlines()
    assert max(map(len, shown)) <= columns
    assert "…" not in "".join(shown)
    assert "12.00" in shown[3]
    assert any(line.startswith("no room for: ") for line in shown)


def test_a_sub_source_is_no_markup(ledger: Ledger, run: Run):
    sell(ledger, "L1", subid="[red]x[/red]")
    assert "[red]x[/red]" in run("report").stdout


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_has_every_measure(ledger: Ledger, run: Run, tmp_path: Path):
    sell(ledger, "L1")
    sell(ledger, "L2", test=True)
    (row,) = rows_of(run("report", "--csv", "--by", "subid").stdout)
    told = {"subid": "123", "leads": "1", "accept_rate": "1.0", "average_bid": "12.50", "sold": "1", "rejected": "0"}
    told |= {"price_quoted": "12.50", "price_difference": "-0.50", "payout": "12.00", "tests": "1"}
    assert row.items() >= told.items()
    shown = run("report", "--by", "subid", "--csv", "rows.csv")
    assert (shown.exit_code, shown.stdout, shown.stderr) == (0, "", "wrote rows.csv\n")
    assert rows_of((tmp_path / "rows.csv").read_text()) == [row]


def test_csv_of_nothing_is_its_heading(ledger: Ledger, run: Run):
    shown = run("report", "--csv").stdout
    assert shown.startswith("day,numcategory,subid,leads,")
    assert rows_of(shown) == []


@pytest.mark.parametrize("begin", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1"])
def test_no_cell_of_a_stranger_s_is_a_formula(begin: str):
    assert safe(begin) == f"'{begin}"
    assert safe(f"a{begin}") == f"a{begin}"


def test_a_formula_of_a_sub_source_is_defused_and_an_amount_is_left_alone(ledger: Ledger, run: Run):
    sell(ledger, "L1", subid='=HYPERLINK("http://evil.example")')
    (row,) = rows_of(run("report", "--csv").stdout)
    assert row["subid"] == '\'=HYPERLINK("http://evil.example")'
    assert row["price_difference"] == "-0.50"


def test_several_forms_come_from_one_reading(ledger: Ledger, run: Run, tmp_path: Path):
    sell(ledger, "L1")
    shown = run("report", "--json", "--csv", "rows.csv", "--html", "page.html")
    (row,) = json.loads(shown.stdout)
    assert rows_of((tmp_path / "rows.csv").read_text())[0]["payout"] == row["payout"] == "12.00"
    assert "12.00" in (tmp_path / "page.html").read_text()
    assert shown.stderr.splitlines() == ["wrote page.html", "wrote rows.csv"]


def test_only_one_form_is_printed(ledger: Ledger, run: Run):
    shown = run("report", "--json", "--csv")
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert shown.stderr == "pingpost report: only one of --json, --csv and --html can be printed\n"


def test_a_file_that_cannot_be_written_is_one_clear_line(ledger: Ledger, run: Run):
    shown = run("report", "--html", "nowhere/page.html")
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert shown.stderr == "pingpost report: cannot write nowhere/page.html: No such file or directory\n"

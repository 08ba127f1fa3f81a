"""`pingpost reconcile`: what it tells people and scripts, which days it looks at, and how it ends."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tasks.core.callreport import CallReport
from tasks.ledger import Ledger
from tests.ledger.books import NOON, ended, put
from workers.cli.reconcile import MOST_SHOWN

Run = Callable[..., Result]
MIDNIGHT = datetime(2024, 11, 24, 5, tzinfo=UTC)  # the end of 23 November in New York
MS = timedelta(milliseconds=1)
HEADER = "token,customid,price,date\n"
ONE_LEFT = (
    "1 unknown leads are not in the statement. If it has all sales of days that are over, "
    "--settle --since 2024-11-23 --until 2024-11-23 marks them as not sold"
)
DAY = ("--since", "2024-11-23", "--until", "2024-11-23")


@pytest.fixture
def told(tmp_path: Path, run: Run) -> Callable[..., Any]:
    """Runs the command on a statement with these lines, and gives its JSON."""

    def runner(lines: str, *arguments: str, header: str = HEADER) -> Any:
        (tmp_path / "nov.csv").write_text(header + lines)
        done = run("reconcile", "nov.csv", "--json", *arguments)
        assert done.exit_code == (1 if json.loads(done.stdout)["findings"] else 0), done.output
        return json.loads(done.stdout)

    return runner


def kinds(told: Any) -> list[tuple[str, str | None]]:
    return [(one["kind"], one["lead_id"]) for one in told["findings"]]


def test_where_both_agree_it_says_so_and_ends_with_0(ledger: Ledger, tmp_path: Path, run: Run):
    put(ledger, ended("A"), ended("B"), ended("C", "unknown"))
    ledger.keep_reports([CallReport("A", NOON, 60_000)])
    (tmp_path / "nov.csv").write_text(f"{HEADER}token-A,,12.50,2024-11-23\n,B,12.5,2024-11-23T12:00:01\n")
    done = run("reconcile", "nov.csv")
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "statement  2 rows, $ 25.00, 2024-11-23 to 2024-11-23 (America/New_York)",
        "ledger     sold open 1 ($ 12.50), sold due 1 ($ 12.50), unknown 1 ($ 12.50)",
        "result     they agree",
        f"note       {ONE_LEFT}",
    ]


def test_differences_are_shown_with_both_prices_and_end_with_1(ledger: Ledger, tmp_path: Path, run: Run):
    put(ledger, ended("A"), ended("B"), ended("C", "expired"))
    ledger.keep_reports([CallReport("A", NOON, 1_000)])
    lines = "token-A,,12.50,2024-11-23\ntoken-B,,9.99,2024-11-23\ntoken-C,,1,2024-11-23\n[red]?[/red],,1,2024-11-23\n"
    (tmp_path / "nov.csv").write_text(HEADER + lines)
    done = run("reconcile", "nov.csv")
    assert done.exit_code == 1
    for words in ("lost_paid", "too short", "9.99", "12.50", "the ledger has it as expired", "[red]?[/red]"):
        assert words in done.stdout
    assert "result     2 missing_in_ledger, 1 other_price, 1 lost_paid" in done.stdout


def test_json_holds_everything(ledger: Ledger, told: Callable[..., Any]):
    put(ledger, ended("A"))
    assert told("token-A,mine,9.99,2024-11-23\n") == {
        "statement": {"file": "nov.csv", "rows": 1, "outside_the_period": 0, "price": "9.99"},
        "since": "2024-11-23",
        "until": "2024-11-23",
        "ledger": {
            "sold_open": {"leads": 1, "price": "12.50"},
            **{name: {"leads": 0, "price": "0.00"} for name in ("sold_due", "sold_lost", "unknown", "withheld")},
        },
        "differences": {"other_price": 1},
        "settled": None,
        "notes": [],
        "findings": [
            {
                "kind": "other_price",
                "line": 2,
                "lead_id": "A",
                "token": "token-A",
                "customid": "mine",
                "price_statement": "9.99",
                "price_ledger": "12.50",
                "ended_at": "2024-11-23T17:00:00.000Z",
                "detail": None,
            }
        ],
    }


def test_the_table_for_spreadsheets_has_a_row_a_difference_and_no_formula(ledger: Ledger, tmp_path: Path, run: Run):
    put(ledger, ended("A", token="=1+1"))
    (tmp_path / "nov.csv").write_text(f"{HEADER}@SUM(A1),,1,2024-11-23\n")
    assert run("reconcile", "nov.csv", "--csv", "found.csv").exit_code == 1
    with (tmp_path / "found.csv").open(newline="") as file:
        rows = [(row["kind"], row["line"], row["token"], row["price_statement"]) for row in csv.DictReader(file)]
    assert rows == [("missing_in_ledger", "2", "'@SUM(A1)", "1.00"), ("missing_in_statement", "", "'=1+1", "")]


def test_of_many_differences_the_screen_shows_some(ledger: Ledger, tmp_path: Path, run: Run):
    put(ledger, *(ended(f"L{number:03}") for number in range(MOST_SHOWN + 7)))
    (tmp_path / "nov.csv").write_text(HEADER)
    done = run("reconcile", "nov.csv", *DAY)
    assert f"L{MOST_SHOWN - 1:03}" in done.stdout
    assert f"L{MOST_SHOWN:03}" not in done.stdout
    assert "… and 7 more: --csv FILE or --json has all" in done.stdout


def test_the_period_is_the_statement_s_unless_it_is_given(ledger: Ledger, told: Callable[..., Any]):
    """From the first moment of the first day to the last of the last, in the buyer's zone; rows of others stay out."""
    put(ledger, *(ended(f"{day}", at=NOON + timedelta(days=day - 23)) for day in range(20, 27)))
    lines = "token-22,,12.50,2024-11-22\ntoken-24,,12.50,2024-11-24\n?,,1,2024-11-24\n"
    found = told(lines)
    assert (found["since"], found["until"]) == ("2024-11-22", "2024-11-24")
    assert kinds(found) == [("missing_in_ledger", None), ("missing_in_statement", "23")]
    found = told(lines, *DAY)
    assert found["statement"] | {"file": ""} == {"file": "", "rows": 0, "outside_the_period": 3, "price": "0.00"}
    assert kinds(found) == [("missing_in_statement", "23")]
    assert kinds(told(lines, "--until", "2024-11-23")) == [("missing_in_statement", "23")]
    assert kinds(told(lines, "--since", "2024-11-24")) == [("missing_in_ledger", None)]


def test_a_statement_without_dates_is_of_the_days_of_its_leads(ledger: Ledger, told: Callable[..., Any]):
    put(ledger, *(ended(f"{day}", at=NOON + timedelta(days=day - 23)) for day in range(20, 27)))
    found = told("token-22,12.50\ntoken-24,12.50\n", header="token,price\n")
    assert (found["since"], found["until"]) == ("2024-11-22", "2024-11-24")
    assert kinds(found) == [("missing_in_statement", "23")]


def test_where_nothing_tells_the_days_no_lead_is_missing(ledger: Ledger, told: Callable[..., Any]):
    put(ledger, ended("A"))
    found = told("?,1\n", header="token,price\n")
    assert kinds(found) == [("missing_in_ledger", None)]
    assert (found["since"], found["notes"]) == (
        None,
        ["nothing tells which days the statement is of: say --since and --until"],
    )


def test_a_sale_on_the_stroke_of_midnight_is_not_missing_on_either_day(ledger: Ledger, told: Callable[..., Any]):
    """The buyer's clock is not ours: what it lists on its day is looked for in the whole ledger."""
    put(ledger, ended("late", at=MIDNIGHT), ended("early", at=MIDNIGHT - timedelta(days=1) - MS))
    lines = "token-late,,12.50,2024-11-23T23:59:59\ntoken-early,,12.50,2024-11-23T00:00:00\n"
    assert told(lines)["findings"] == []


def test_a_sale_that_is_missing_near_midnight_says_that_it_may_stand_elsewhere(
    ledger: Ledger, told: Callable[..., Any]
):
    put(ledger, ended("A", at=MIDNIGHT - MS), ended("B", at=MIDNIGHT - timedelta(minutes=1)))
    ledger.keep_reports([CallReport("A", MIDNIGHT, 60_000)])
    a, b = told("", *DAY)["findings"]
    edge = "within a minute of the period's edge: look at the statement of the day beside it"
    assert (a["kind"], a["detail"]) == ("due_unpaid", f"not in the statement; {edge}")
    assert (b["kind"], b["detail"]) == ("missing_in_statement", None)


@pytest.mark.parametrize("arguments", [("--since", DAY[1]), ("--until", DAY[3]), ()])
def test_unless_the_operator_says_which_days_it_covers_no_lead_is_settled_as_not_sold(
    ledger: Ledger, told: Callable[..., Any], arguments: tuple[str, ...]
):
    put(ledger, ended("A", "unknown"), ended("B", "unknown"))
    found = told("token-A,,9,2024-11-23\n", "--settle", *arguments)
    assert kinds(found) == [("unknown_sold", "A")]
    assert found["settled"] == {"sold": 1, "not_sold": 0}
    assert found["notes"] == [ONE_LEFT]


def test_what_a_statement_covers_is_settled_and_is_no_difference_afterwards(
    ledger: Ledger, told: Callable[..., Any], run: Run
):
    put(ledger, ended("A", "unknown"), ended("B", "unknown"), ended("C", "unknown", at=MIDNIGHT - MS))
    line = "token-A,,9,2024-11-23\n"
    assert told(line, "--settle", *DAY)["settled"] == {"sold": 1, "not_sold": 1}
    again = told(line, "--settle", *DAY)
    assert (again["findings"], again["settled"]) == ([], {"sold": 0, "not_sold": 0})
    assert again["ledger"]["sold_open"] == {"leads": 1, "price": "9.00"}
    assert "settled    0 unknown leads as sold" in run("reconcile", "nov.csv", "--settle").stdout
    assert kinds(told("", *DAY)) == [("missing_in_statement", "A")]
    shown = [run("lead", name).stdout for name in ("A", "B", "C")]
    assert "sold at 9.00, token token-A, by nov.csv" in shown[0]
    assert "settled   not sold, by nov.csv" in shown[1]
    assert "settled" not in shown[2], "so near to midnight the next day's statement may have it"
    assert all("outcome   unknown" in one for one in shown)


def test_of_a_day_that_is_not_over_nothing_is_settled_as_not_sold(ledger: Ledger, told: Callable[..., Any]):
    now = datetime.now(UTC).replace(microsecond=0)
    put(ledger, ended("A", "unknown", at=now))
    tomorrow = (now + timedelta(days=1)).date().isoformat()
    found = told("", "--settle", "--since", (now - timedelta(days=2)).date().isoformat(), "--until", tomorrow)
    assert found["settled"] == {"sold": 0, "not_sold": 0}
    assert found["notes"][0].startswith(f"the buyer's day {tomorrow} is not over")


def test_a_refused_statement_is_told_line_by_line_and_nothing_is_settled(ledger: Ledger, tmp_path: Path, run: Run):
    put(ledger, ended("A", "unknown"))
    (tmp_path / "bad.csv").write_text("token,price\ntoken-A,1\nb,NaN\n=c,1\n")
    done = run("reconcile", "bad.csv", "--settle")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "pingpost reconcile: bad.csv: line 3, column price: not an amount of dollars",
        "pingpost reconcile: bad.csv: line 4, column token: a formula; export the values",
    ]
    assert "settled" not in run("lead", "A").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nowhere.csv",),
        (".",),
        ("nov.csv", "--column", "price"),
        ("nov.csv", "--column", "colour=Red"),
        ("nov.csv", "--column", "price= "),
        ("nov.csv", "--column", "price=a", "--column", "price=b"),
        ("nov.csv", "--date-format", "%Q"),
        ("nov.csv", "--since", "yesterday"),
        ("nov.csv", "--since", "2024-11-24"),
        ("nov.csv", "--since", "2024-11-24", "--until", "2024-11-23"),
        ("nov.csv", "--csv", "no/folder.csv"),
        ("nov.csv", "--column", "price=Payout"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_done_ends_with_2_and_one_reason(
    ledger: Ledger, tmp_path: Path, run: Run, arguments: tuple[str, ...]
):
    (tmp_path / "nov.csv").write_text(f"{HEADER}a,,1,2024-11-23\n")
    done = run("reconcile", *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr


def test_without_a_ledger_it_ends_with_3(data: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch):
    """So that a script can tell it from differences."""
    (tmp_path / "nov.csv").write_text(HEADER)
    assert run("reconcile", "nov.csv").exit_code == 3
    assert not data.exists()
    monkeypatch.setenv("PINGPOST_LEDGER_URL", "postgresql+psycopg://somebody:secret@127.0.0.1:1/none")
    done = run("reconcile", "nov.csv")
    assert done.exit_code == 3
    assert "secret" not in done.stderr
    monkeypatch.setenv("PINGPOST_LEDGER_URL", "mysql://nobody")
    assert run("reconcile", "nov.csv").exit_code == 2


def test_help_tells_the_exit_codes(run: Run):
    shown = run("reconcile", "--help").stdout
    for code in ("  0  ", "  1  ", "  2  ", "  3  "):
        assert code in shown

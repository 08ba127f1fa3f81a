"""The buyer's file: columns found by name, rows read, and every fault named by line and column."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from datetime import date, time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.caps import Calendar
from tasks.core.money import Money
from tasks.core.reconciliation import Row
from workers import statement
from workers.statement import LONGEST_LINE, MOST_FAULTS, BadStatement, Form, read

NEW_YORK = Calendar(ZoneInfo("America/New_York"), time(0))
PRICE = Money.parse("12.50")
EITHER = "--column token=NAME or --column customid=NAME"
NO_DATE = "not a date such as 2026-11-23 or 2026-11-23T18:00:00Z (or tell its form by --date-format)"


def form(
    columns: Mapping[str, str] | None = None, date_format: str | None = None, calendar: Calendar = NEW_YORK
) -> Form:
    return Form(columns or {}, date_format, calendar)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "statement.csv"


def rows(file: Path, content: str | bytes, how: Form | None = None) -> list[Row]:
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read(file, how or form())


def faults(file: Path, content: str | bytes, how: Form | None = None) -> list[str]:
    with pytest.raises(BadStatement) as refused:
        rows(file, content, how)
    return list(refused.value.faults)


@pytest.mark.parametrize(
    "header",
    [
        "token,customid,price,date",
        "Token,Custom ID,Payout,Sold Date",
        "BID_TOKEN;lead-id;Amount;Call Date",
        '"Token"\t"CustomID"\t"Price"\t"Day"',
        "token|CUSTOM_ID|revenue|Timestamp",
        "\ufefftoken,customid,price,date",
    ],
)
def test_columns_are_known_by_their_names_without_case_and_separators(file: Path, header: str) -> None:
    """In whichever way the cells are separated."""
    delimiter = next(one for one in ",;\t|" if one in header)
    cells = delimiter.join(["abc", "L1", "$12.50", "2026-11-23"])
    assert rows(file, f"{header}\r\n\r\n{cells}\r\n") == [Row(3, "abc", "L1", PRICE, date(2026, 11, 23))]


def test_a_column_that_has_the_very_name_wins_and_others_are_passed_over(file: Path) -> None:
    content = "Lead ID,Time,customid,date,Price,Note,Note\n77,10:00,L1,2026-11-23,12.5,=1+1,\n"
    assert rows(file, content) == [Row(2, None, "L1", PRICE, date(2026, 11, 23))]


def test_the_operator_says_which_column_is_which(file: Path) -> None:
    content = "Reference,Payout,Amount,Date\nL1,12.50,99,whenever\n"
    chosen = form({"price": "payout", "token": "Reference", "customid": "Reference", "date": "Date"}, "whenever")
    assert rows(file, content, chosen)[0].token == "L1"
    assert rows(file, content, chosen)[0].price == PRICE


def test_a_cell_may_be_empty_where_the_other_name_is_there(file: Path) -> None:
    content = "token,customid,price\n,L1,1\nabc, ,1\n"
    assert [(row.token, row.customid) for row in rows(file, content)] == [(None, "L1"), ("abc", None)]


def test_lines_are_counted_through_cells_of_many_lines_and_rows_that_end_with_a_delimiter(file: Path) -> None:
    content = 'token,note,price\na,"one\ntwo",1,\nb,"three",2,,\n'
    assert [(row.line, row.token) for row in rows(file, content)] == [(2, "a"), (4, "b")]


@pytest.mark.parametrize(
    ("text", "date_format", "day"),
    [
        ("2026-11-23", None, 23),
        ("2026-11-23T23:30:00", None, 23),
        ("2026-11-23 23:30", None, 23),
        ("2026-11-24T04:59:59Z", None, 23),
        ("2026-11-24T05:00:00Z", None, 24),
        ("2026-11-23T23:30:00-08:00", None, 24),
        ("11/23/2026", "%m/%d/%Y", 23),
        ("23.11.2026 04:00", "%d.%m.%Y %H:%M", 23),
    ],
)
def test_a_date_is_a_day_of_the_buyer_s(file: Path, text: str, date_format: str | None, day: int) -> None:
    (row,) = rows(file, f"token,price,date\na,1,{text}\n", form(date_format=date_format))
    assert row.day == date(2026, 11, day)


def test_a_day_begins_at_the_buyer_s_hour(file: Path) -> None:
    early = form(calendar=Calendar(ZoneInfo("America/New_York"), time(6)))
    content = "token,price,date\na,1,2026-11-23 05:59\nb,1,2026-11-23 06:00\nc,1,2026-11-23\n"
    assert [row.day and row.day.day for row in rows(file, content, early)] == [22, 23, 23]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "line 1: no header; the first line names the columns"),
        ("\n\n", "line 1: no header; the first line names the columns"),
        (
            "token,amount due\na,1\n",
            "line 1: no column for the price among token, amount due; say which by --column price=NAME",
        ),
        (
            "id,price\na,1\n",
            f"line 1: no column for the token or the customid among id, price; say which by {EITHER}",
        ),
        (
            "token,Payout,Revenue\na,1,1\n",
            "line 1: columns 2 (Payout) and 3 (Revenue) could both be the price; say which by --column price=NAME",
        ),
        (
            "token,Token,price\na,b,1\n",
            "line 1: columns 1 (token) and 2 (Token) could both be the token; rename one of them",
        ),
        ("token,price\na,1\nb\n", "line 3: 1 cells under 2 columns"),
        ("token,price\na,1,x\n", "line 2: 3 cells under 2 columns"),
        ("token,price\n,1\n", "line 2: neither token nor customid"),
        *(
            (f'token,price\na,"{price}"\n', "line 2, column price: not an amount of dollars")
            for price in ("NaN", "-1", "1e3", "Infinity", "1,234.50", "12,50", "free", "+1", "\u0661", "1.0000001")
        ),
        ("token,price\na,999999\n", "line 2, column price: an amount is between 0 and 100000 dollars"),
        ("token,price\na,\n", "line 2, column price: is empty"),
        ("token,price\na,=1+1\n", "line 2, column price: a formula; export the values"),
        ("Token,price\n=HYPERLINK(1),1\n", "line 2, column Token: a formula; export the values"),
        ("token,price\na\x1b[2J,1\n", "line 2, column token: has a control character"),
        ("token,price\na\x00b,1\n", "line 2, column token: has a control character"),
        (f"token,price\n{'x' * 256},1\n", "line 2, column token: longer than 255 characters"),
        (
            "token,price,date\na,1,23/11/2026\n",
            f"line 2, column date: {NO_DATE}",
        ),
        ("token,price,date\na,1,\n", "line 2, column date: is empty"),
        ("token,price,date\na,1,0001-01-01T00:00:00+14:00\n", "line 2, column date: date value out of range"),
        (b"token,price\na,1\n\xff\xfe,1\n", "line 3, byte 1: not UTF-8"),
        ("token,price\na,1\n".encode("utf-16"), "line 1, byte 1: not UTF-8"),
        ("token,price\n" + "x" * LONGEST_LINE, f"line 2: longer than {LONGEST_LINE} bytes"),
        ("x" * LONGEST_LINE, f"line 1: longer than {LONGEST_LINE} bytes"),
        ('token,price\na,1\n"b,2\nc,3\n', "line 3: unexpected end of data"),
        ('token,price\n"a"b,1\n', "line 2: ',' expected after '\"'"),
        (
            'token,price\n"' + "long\n" * 40_000,
            "line 2: field larger than field limit (131072)",
        ),
        ("token,price\rfoo,bar\r", "line 1: lines end with a carriage return alone"),
        ("token,price\na,1\rb,2\r", "line 2: lines end with a carriage return alone"),
    ],
)
def test_a_fault_is_named_by_line_and_column(file: Path, content: str | bytes, fault: str) -> None:
    assert faults(file, content) == [fault]


@pytest.mark.parametrize(("title", "shown"), [("=cmd()\x07", "number 2"), ("p" * 41, "number 2"), ("Geld €", "Geld €")])
def test_a_title_is_shown_only_where_it_can_be(file: Path, title: str, shown: str) -> None:
    chosen = form({"price": title})
    assert faults(file, f"token,{title}\na,x\n", chosen) == [f"line 2, column {shown}: not an amount of dollars"]


def test_a_column_that_is_not_there_is_named_as_it_was_asked_for(file: Path) -> None:
    fault = "line 1: no column 'Payout', which --column takes for the price"
    assert faults(file, "token,price\na,1\n", form({"price": "Payout"})) == [fault]


def test_many_faults_are_told_at_once_and_not_without_end(file: Path) -> None:
    """Of a row all that is wrong with it; of a file no more than a screen."""
    assert faults(file, "token,price,date\n=1,x,y\nb,1,2026-11-23\nc,z,2026-11-23\n") == [
        "line 2, column token: a formula; export the values",
        "line 2, column price: not an amount of dollars",
        f"line 2, column date: {NO_DATE}",
        "line 4, column price: not an amount of dollars",
    ]
    assert len(faults(file, "token,price\n" + "a,x\n" * 1_000)) == MOST_FAULTS


def test_a_statement_of_too_many_rows_is_refused_before_it_fills_the_memory(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statement, "LARGEST", 3)
    assert len(rows(file, "token,price\n" + "a,1\n" * 3)) == 3
    assert faults(file, "token,price\n" + "a,1\n" * 4) == ["line 5: more than 3 rows; cut the statement by its days"]


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=30).filter(
    lambda text: text == text.strip() and text[0] != "="
)


@given(
    st.lists(st.tuples(st.none() | texts, texts, st.integers(0, 10**11)), max_size=5),
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n"]),
)
def test_whatever_names_a_buyer_gives_they_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory,
    told: list[tuple[str | None, str, int]],
    delimiter: str,
    end: str,
) -> None:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end)
    writer.writerow(["token", "customid", "price"])
    writer.writerows([token or "", customid, Money(micros)] for token, customid, micros in told)
    read_rows = rows(tmp_path_factory.getbasetemp() / "any.csv", out.getvalue())
    assert [(row.token, row.customid, row.price.micros) for row in read_rows] == told


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda noise: b"token,price,date\n" + noise))
def test_whatever_the_file_is_it_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    try:
        rows(tmp_path_factory.getbasetemp() / "noise.csv", content)
    except BadStatement as refused:
        told = refused.faults
    else:
        told = ()
    assert all(fault.startswith("line ") for fault in told)

"""Rows of files: what is a lead, what is not, and where it is written."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tasks.core.protocol import Protocol
from tests.frontdoor.house import lead
from workers.settings import Settings
from workers.submission import (
    BadFile,
    CsvReader,
    InvalidRows,
    Row,
    beside,
    checker,
    derived_id,
    format_of,
    read_jsonl,
)

HEADER = "lead_id,numcategory,transfer_type,zipcode,subid,price,deadline_s,firstname\n"


@pytest.fixture
def check(protocol: Protocol) -> Any:
    return checker(protocol, Settings(_env_file=None, key="secret", subid=""))  # type: ignore[call-arg]


def rows(text: str | bytes, check: Any) -> list[Row]:
    raw = text.encode() if isinstance(text, str) else text
    return list(CsvReader(io.BytesIO(raw)).rows(check))


def test_a_csv_row_is_a_lead_whose_empty_cells_are_absent(check: Any) -> None:
    (row,) = rows(HEADER + "C-1,16001,1,01234,s,12.50,2.5,\n", check)
    assert row.lead == {
        "lead_id": "C-1",
        "numcategory": "16001",
        "transfer_type": "1",
        "zipcode": "01234",
        "subid": "s",
        "price": "12.50",
        "deadline_s": Decimal("2.5"),
    }


@pytest.mark.parametrize("seconds", ["soon", "NaN", "Infinity", "-1"])
def test_seconds_that_are_none_are_named(check: Any, seconds: str) -> None:
    (row,) = rows(HEADER + f"C-1,16001,1,01234,s,,{seconds},\n", check)
    assert row.lead is None
    assert row.reason.startswith("deadline_s: ")


def test_every_fault_of_a_row_is_named(check: Any) -> None:
    (row,) = rows(HEADER + "a b,1,9,123,s,x,,\n", check)
    assert row.lead is None
    assert {fault.partition(":")[0] for fault in row.reason.split("; ")} == {
        "lead_id",
        "numcategory",
        "transfer_type",
        "zipcode",
        "price",
    }


def test_a_byte_order_mark_empty_lines_and_quotes_are_no_faults(check: Any) -> None:
    text = "\ufeff" + HEADER + '\n,,\nC-1,16001,1,01234,s,,,"John ""J"", Jr."\n'
    (row,) = rows(text, check)
    assert row.lead is not None
    assert row.lead["firstname"] == 'John "J", Jr.'


def test_bytes_that_are_not_utf_8_make_their_row_invalid_and_no_other(check: Any) -> None:
    text = HEADER.encode() + b"C-1,16001,1,01234,s,,,Jos\xe9\nC-2,16001,1,01234,s,,,Anna\n"
    bad, good = rows(text, check)
    assert bad.reason == "firstname: has a control character"
    assert good.lead is not None


def test_more_cells_than_names_are_a_fault(check: Any) -> None:
    (row,) = rows("lead_id,zipcode\nC-1,01234,surplus\n", check)
    assert row.reason == "more cells than the header has names"


@pytest.mark.parametrize(
    ("text", "why"), [("", "no header"), ("\n", "no header"), ("a,b,a\n", "names a field twice: a")]
)
def test_a_csv_that_names_no_fields_or_one_twice_is_refused(text: str, why: str) -> None:
    with pytest.raises(BadFile, match=why):
        CsvReader(io.BytesIO(text.encode()))


def test_json_lines_are_leads_or_faults_line_by_line(check: Any) -> None:
    lines = [json.dumps(lead("J-1")), "", "nonsense", "[1]", json.dumps(lead("J-2", price=1.5, colour="red"))]
    first, second, third, fourth = read_jsonl(io.BytesIO("\n".join(lines).encode()), check)
    assert first.lead == lead("J-1")
    assert (second.number, second.reason) == (3, "not JSON")
    assert third.reason == "not a JSON object"
    assert fourth.reason == "colour: unknown field"


def test_a_row_without_an_id_has_the_same_made_id_every_time_and_another_row_another(check: Any) -> None:
    text = HEADER + ",16001,1,01234,s,,,\n,16001,1,01234,s,,,\n,16001,1,01235,s,,,\n"
    ids = [row.lead["lead_id"] for row in rows(text, check) if row.lead]
    assert ids == [row.lead["lead_id"] for row in rows(text, check) if row.lead]
    assert ids[0] == ids[1] != ids[2]
    assert ids[0] == derived_id({"subid": "s", "numcategory": "16001", "transfer_type": "1", "zipcode": "01234"})


def test_without_a_key_what_only_the_intake_knows_is_left_to_it(protocol: Protocol, check: Any) -> None:
    elsewhere = checker(protocol, Settings(_env_file=None, key="", subid=""))  # type: ignore[call-arg]
    without = {name: value for name, value in lead("K-1").items() if name != "subid"}
    assert (elsewhere(without), check(without)) == ("", "subid: required")
    assert elsewhere(lead("K-1", subid="match")) == ""
    assert check(lead("K-1", subid="match")) != ""


def test_invalid_rows_of_a_csv_stand_beside_it_and_can_be_mended_and_sent(tmp_path: Path, check: Any) -> None:
    path = beside(str(tmp_path / "leads.csv"), "csv")
    reader = CsvReader(io.BytesIO(b"lead_id,numcategory,transfer_type,zipcode,subid\nC-1,16001,1,0123,s\nC-2,16001\n"))
    with InvalidRows(path, reader.header) as invalid:
        for row in reader.rows(check):
            invalid.add(row)
    assert path == tmp_path / "leads.invalid.csv"
    with path.open(newline="") as file:
        written = list(csv.DictReader(file))
    assert [row["reason"].partition(":")[0] for row in written] == ["zipcode", "subid"]
    mended = path.read_text().replace(",0123,", ",01234,")
    (first, second) = rows(mended, check)
    assert first.lead is not None
    again = tmp_path / "again.csv"
    with InvalidRows(again, CsvReader(io.BytesIO(mended.encode())).header) as invalid:
        invalid.add(second)
    assert again.read_text().splitlines()[0].split(",").count("reason") == 1
    assert again.read_text().count("transfer_type: required") == 1


def test_invalid_lines_stand_beside_their_file_with_their_reason(tmp_path: Path, check: Any) -> None:
    path = beside(str(tmp_path / "leads.jsonl"), "jsonl")
    bad = b'{"lead_id": "J-1"}\nnonsense \xff\n{"lead_id": "\\ud800"}\n'
    with InvalidRows(path, None) as invalid:
        for row in read_jsonl(io.BytesIO(bad), check):
            invalid.add(row)
    first, second, third = (json.loads(line) for line in path.read_text().splitlines())
    assert first["lead_id"] == "J-1"
    assert "zipcode: required" in first["reason"]
    assert second == {"line": "nonsense \udcff", "reason": "not UTF-8"}
    assert third["reason"].startswith("half a character")


def test_where_every_row_is_valid_nothing_is_written(tmp_path: Path) -> None:
    with InvalidRows(tmp_path / "leads.invalid.csv", ["lead_id"]):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "chosen", "form"),
    [
        ("a.csv", None, "csv"),
        ("a.JSONL", None, "jsonl"),
        ("a.ndjson", None, "jsonl"),
        ("-", None, "jsonl"),
        ("-", "csv", "csv"),
        ("a.txt", "csv", "csv"),
    ],
)
def test_a_format_is_told_by_the_name_unless_it_is_chosen(name: str, chosen: Any, form: str) -> None:
    assert format_of(name, chosen) == form


def test_a_name_that_tells_no_format_asks_for_one() -> None:
    with pytest.raises(BadFile, match="--format"):
        format_of("leads.txt", None)

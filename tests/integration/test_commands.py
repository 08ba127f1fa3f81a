"""The commands beside a running `pingpost up`: what they say, and the codes that they end with."""

from __future__ import annotations

import csv
import json
import os
import uuid
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from kombu import Connection, Producer

from tests.integration.conftest import House
from tests.integration.installation import lead, wait_for
from workers.cli import main

# One broker is enough for what does not depend on it.
embedded = pytest.mark.parametrize("house", ["embedded"], indirect=True)
each_broker = pytest.mark.parametrize("house", ["embedded", "rabbitmq"], indirect=True)


def _here(house: House, folder: Path, *arguments: str, **environment: str) -> Result:
    """Run a command in this process, where it does nothing but read: a process each would cost a second each."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("PINGPOST_")]:
            patch.delenv(name)
        patch.chdir(folder)
        return CliRunner().invoke(main, arguments, env={**house.installation.environment, **environment})


def test_check_finds_everything_well(house: House):
    """All that it names is reachable; it finds the running up by the data folder alone."""
    rows = house.installation.answer("check", "--json")
    assert {row["what"]: row["ok"] for row in rows} == dict.fromkeys(
        ("settings", "tables", "broker", "state store", "ledger", *(f"buyer, {call}" for call in _CALLS)), True
    )


_CALLS = ("ping", "post", "one_step", "direct_post")


@embedded
def test_check_names_what_cannot_be_reached(house: House):
    """A broker that is down is a line of its own and the exit code 1; the rest is still looked at."""
    down = {"PINGPOST_BROKER_URL": "amqp://guest:hush-hush@127.0.0.1:1//", "PINGPOST_POST_URL": "http://127.0.0.1:1/"}
    done = house.installation.command("check", "--json", **down)
    assert done.returncode == 1, done
    assert {row["what"] for row in json.loads(done.stdout) if not row["ok"]} == {"broker", "buyer, post"}
    assert "hush-hush" not in done.stdout + done.stderr


@embedded
@pytest.mark.parametrize(
    ("command", "environment", "named"),
    [
        ("check", {"PINGPOST_DEADLINE_S": "soon", "PINGPOST_METHOD": "fax"}, ("DEADLINE_S", "METHOD")),
        ("check", {"PINGPOST_SUBID": "match"}, ("SUBID",)),
        ("check", {"PINGPOST_KEY": ""}, ("KEY",)),
        ("check", {"PINGPOST_PING_URL": ""}, ("PING_URL",)),
        ("check", {"PINGPOST_DATA": "elsewhere"}, ("BROKER_URL",)),
        ("check", {"PINGPOST_MAPPING": "{bad}"}, ("MAPPING",)),
        ("certify", {"PINGPOST_MAPPING": "{bad}"}, ("MAPPING",)),
        ("up", {"PINGPOST_ZIPLIST": "{bad}", "PINGPOST_DATA": "elsewhere"}, ("ZIPLIST",)),
        ("certify", {"PINGPOST_PARTNER_ID": ""}, ("PARTNER_ID",)),
    ],
)
def test_bad_settings_are_one_line_that_names_the_variable(
    house: House, tmp_path: Path, command: str, environment: dict[str, str], named: tuple[str, ...]
):
    """Exit code 2, and no traceback."""
    bad = tmp_path / "bad"
    bad.write_text("this is = [no such file\n")
    given = {name: value.format(bad=bad) for name, value in environment.items()}
    done = _here(house, tmp_path, command, **given)
    assert done.exit_code == 2, done
    assert len(done.stderr.splitlines()) == 1
    assert all(f"PINGPOST_{name}" in done.stderr for name in named), done.stderr


@embedded
@pytest.mark.parametrize(
    ("call", "body", "code", "read"),
    [
        (
            "ping",
            b'{"Status":"OK","Price":"9.5","TOKEN":"abc","call-duration":60}',
            0,
            {"reading": "bid", "price": "9.50"},
        ),
        ("post", b"<r><PhoneNumber>8005550100</PhoneNumber></r>", 0, {"reading": "sale", "phone_number": "8005550100"}),
        ("ping", b"status=rejected\nerrorCode=5000\n", 0, {"reading": "refusal", "code": 5000}),
        ("post", b"\x00\x01\xfe\xff garbage", 1, {"reading": "unreadable"}),
    ],
    ids=["json", "xml", "lines", "garbage"],
)
def test_check_shows_how_a_captured_answer_is_read(
    house: House, tmp_path: Path, call: str, body: bytes, code: int, read: dict[str, Any]
):
    """Each format the same way as over HTTP; what cannot be read is the exit code 1, never a guess."""
    captured = tmp_path / "answer"
    captured.write_bytes(body)
    done = _here(house, tmp_path, "check", "--answer", str(captured), "--call", call, "--json")
    assert done.exit_code == code, done
    assert read.items() <= json.loads(done.stdout).items()


@embedded
def test_submit_sells_the_rows_of_a_file_and_sets_the_invalid_ones_aside(house: House, tmp_path: Path):
    """With --wait every outcome is told; an invalid row is in a file beside, with its reason; a mended file gives 0."""
    path = tmp_path / "leads.csv"
    good = [lead("s-1"), lead("s-2", zipcode="05000")]
    rows = [*good, lead("s-3", zipcode="1")]
    _write(path, rows)
    done = house.installation.command("submit", str(path), "--wait", "--json")
    assert done.returncode == 1, done
    outcomes = {outcome["lead_id"]: outcome["status"] for outcome in map(json.loads, done.stdout.splitlines())}
    assert outcomes == {"s-1": "sold", "s-2": "rejected"}
    with (tmp_path / "leads.invalid.csv").open(newline="") as aside:
        (invalid,) = csv.DictReader(aside)
    assert invalid["lead_id"] == "s-3"
    assert "zipcode" in invalid["reason"]

    _write(path, good)
    again = house.installation.command("submit", str(path), "--wait")
    assert again.returncode == 0, again
    assert [sale["customid"] for sale in house.buyer.book()["sales"]].count("s-1") == 1


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@each_broker
def test_lead_and_report_tell_a_sale(house: House):
    """The story of a lead has its calls, token and end; the report has its payout on the buyer's day."""
    before = _payout(house)
    (sold,) = house.upstream.sell(lead("k-1", subid="tv", numcategory=16002))
    story = house.installation.answer("lead", "k-1", "--json")
    assert [attempt["call"] for attempt in story["attempts"]] == ["ping", "post"]
    assert (story["state"], story["token"], story["price_confirmed"]) == ("sold", sold["token"], "9.755")
    assert sold["phone_number"] not in json.dumps(story)
    assert "sold" in house.installation.command("lead", "k-1").stdout
    assert (before, _payout(house)) == (None, ("9.755", 1))
    assert house.installation.command("lead", "nobody").returncode == 1


def _payout(house: House) -> tuple[str, int] | None:
    rows = [row for row in house.installation.answer("report", "--json") if row["subid"] == "tv"]
    return (rows[0]["payout"], rows[0]["sold"]) if rows else None


@each_broker
def test_lead_and_reconcile_tell_what_the_buyer_owes(house: House, tmp_path: Path):
    """From upstream's report of each call, and from the buyer's own book, in which one price was changed."""
    names = [f"owed-{number}" for number in range(3)]
    sold = house.upstream.sell(*(lead(name, subid="owed") for name in names))
    for name, outcome, lasted_s in zip(names, sold, (60, 59, 60), strict=True):
        house.upstream.report(name, outcome["at"], lasted_s)
    for name, standing in zip(names, ("due", "lost", "due"), strict=True):
        house.installation.wait_for_line("call.reported", lead_id=name, standing=standing)
    assert json.loads(_here(house, tmp_path, "lead", names[0], "--json").stdout)["payout"] == {
        "standing": "due",
        "price": "12.50",
    }
    assert "payout    12.50 lost: too short, the buyer asks for" in _here(house, tmp_path, "lead", names[1]).stdout

    statement = tmp_path / "statement.csv"
    listed = [sale for sale in house.buyer.book()["sales"] if sale["subid"] == "owed"]
    _write(statement, [{**sale, "price": "9.99"} if sale["customid"] == names[2] else {**sale} for sale in listed])
    done = _here(house, tmp_path, "reconcile", str(statement), "--json", "--column", "date=at")
    assert done.exit_code == 1, done
    found = [one for one in json.loads(done.stdout)["findings"] if one["line"]]
    assert {one["lead_id"]: (one["kind"], one["price_ledger"]) for one in found} == {
        names[1]: ("lost_paid", "12.50"),
        names[2]: ("other_price", "12.50"),
    }


@embedded
@pytest.mark.parametrize(
    "arguments",
    [
        ("gates", "close", "category"),
        ("gates", "open"),
        ("dead", "drop", "leads", "1"),
        ("dead", "show", "dead", "0"),
        ("lead",),
        ("report", "--since", "yesterday"),
        ("submit", "nowhere.csv"),
        ("check", "--answer", "nowhere.json"),
        ("up", "--workers", "0"),
    ],
    ids=" ".join,
)
def test_bad_arguments_end_with_2(house: House, tmp_path: Path, arguments: tuple[str, ...]):
    """Wrong usage is told from everything else by its code, and explained."""
    done = _here(house, tmp_path, *arguments)
    assert done.exit_code == 2, done
    assert done.stderr
    assert "Traceback" not in done.output


@each_broker
def test_what_is_no_lead_waits_with_the_dead(house: House):
    """It is listed with its reason, shown whole, put back, and dropped; each with its exit code."""
    body = b'{"firstname": "Hildegard", "zipcode": "33139"}'
    house.upstream.send_raw(b"no json at all")
    house.upstream.send_raw(body)
    command = house.installation.command

    def listed(number: int) -> list[dict[str, Any]]:
        return wait_for(lambda: found if len(found := _dead(house)) == number else None, 20)

    letters = listed(2)
    assert [(letter["queue"], letter["number"]) for letter in letters] == [("leads.dead", 1), ("leads.dead", 2)]
    assert "JSON" in letters[0]["reason"]
    assert "lead_id" in letters[1]["reason"]
    shown = command("dead", "show", "leads.dead", "2")
    assert (shown.returncode, shown.stdout.strip()) == (0, body.decode())
    assert command("dead", "show", "leads.dead", "3").returncode == 1

    assert command("dead", "requeue", "leads.dead", "1").returncode == 0
    assert "JSON" in listed(2)[1]["reason"]  # it is still no lead, and now the last
    assert command("dead", "requeue", "dead", "1").returncode == 2
    assert command("dead", "drop", "leads.dead", "1").returncode == 0
    assert "JSON" in listed(1)[0]["reason"]
    assert command("dead", "drop", "leads.dead", "1").returncode == 0
    assert command("dead", "drop", "leads.dead", "1").returncode == 1
    assert "no dead letters" in command("dead").stdout
    assert "Hildegard" not in house.installation.log_text()


@each_broker
def test_a_lead_that_was_sold_and_is_put_back_is_not_sold_again(house: House):
    """Whoever buried it, and whoever puts it back: its id is known, and its outcome is told once more."""
    name = f"back-{uuid.uuid4().hex[:8]}"
    (sold,) = house.upstream.sell(lead(name))
    sales = len(house.buyer.book()["sales"])
    with Connection(house.installation.broker_url) as connection:
        Producer(connection).publish(
            json.dumps(lead(name)).encode(),
            routing_key="leads.dead",
            content_type="application/json",
            content_encoding="binary",
            headers={"x-reason": "somebody's mistake"},
        )
    wait_for(lambda: len(_dead(house)) == 1, 20)

    assert house.installation.command("dead", "requeue", "leads.dead", "1").returncode == 0

    wait_for(lambda: [one for _, one in house.upstream.announced(name) if one.get("replayed")], 20)
    assert {one["status"] for _, one in house.upstream.announced(name)} == {"sold"} == {sold["status"]}
    assert len(house.buyer.book()["sales"]) == sales
    assert _dead(house) == []


def _dead(house: House) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = house.installation.answer("dead", "list", "--json")
    return found


@each_broker
def test_migrate_may_be_run_again_beside_running_workers(house: House):
    """The tables are in the newest form already."""
    done = house.installation.command("migrate")
    assert (done.returncode, done.stderr) == (0, "")


@embedded
def test_migrate_makes_a_new_ledger_and_says_when_it_cannot(house: House, tmp_path: Path):
    """0 with the tables made; 1 where the database is away, without its password."""
    new = tmp_path / "new.sqlite3"
    assert house.installation.command("migrate", PINGPOST_LEDGER_URL=f"sqlite:///{new}").returncode == 0
    assert new.stat().st_size > 0
    away = "postgresql+psycopg://pingpost:hush-hush@127.0.0.1:1/pingpost"
    done = house.installation.command("migrate", PINGPOST_LEDGER_URL=away)
    assert done.returncode == 1
    assert "hush-hush" not in done.stdout + done.stderr


@embedded
def test_a_second_up_on_the_same_folder_refuses(house: House):
    """It says so, ends with a code of its own, and leaves the first alone."""
    done = house.installation.command("up", "--plain", "--no-flower")
    assert done.returncode == 3, done
    assert "another `pingpost up`" in done.stderr
    assert house.upstream.sell(lead("k-after-the-second-up"))[0]["status"] == "sold"


@embedded
def test_a_lead_of_the_test_s_sub_source_is_invalid_with_a_live_key(house: House):
    """`match` is the buyer's word for its test; with a live key it would be sent in earnest."""
    (outcome,) = house.upstream.sell(lead("k-match", subid="match"))
    assert (outcome["status"], outcome["stage"]) == ("invalid", "intake")
    assert "subid" in outcome["reason"]

"""A backup is whole while others write, and what it brings back is never sold a second time."""

from __future__ import annotations

import sqlite3
import stat
import threading
from pathlib import Path

import pytest
from sqlalchemy import func, select

from tasks.core.states import FINAL, State
from tasks.ledger import Ledger, backup, migrate
from tasks.ledger.schema import leads
from tasks.restored import AT_ONCE, end_what_was_open
from tests.ledger.stories import bring, columns, standing, take_in

OPEN = [state for state in State if state not in FINAL]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A SQLite ledger's file."""
    path = tmp_path / "ledger.sqlite3"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def busy(file: Path):
    """That ledger, open."""
    ledger = Ledger.open(f"sqlite:///{file}")
    yield ledger
    ledger.close()


def test_a_copy_that_is_made_while_leads_come_in_is_whole_and_of_one_moment(busy: Ledger, file: Path, tmp_path: Path):
    """Each batch is in it whole or not at all, nobody who writes is refused, and only its owner reads it."""
    over = threading.Event()
    batches = 0
    faults: list[BaseException] = []

    def write() -> None:
        nonlocal batches
        try:
            while not over.is_set():
                batches += 1
                with busy.engine.begin() as connection:
                    row = {**BARE, "fingerprint": str(batches)}
                    connection.execute(leads.insert(), [{**row, "lead_id": f"L{batches}-{n}"} for n in range(50)])
        except BaseException as fault:  # noqa: BLE001 - handed to the test
            faults.append(fault)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        copies = [tmp_path / f"copy-{number}" for number in range(5)]
        for target in copies:
            before = batches
            backup.copy(file, target)
            while batches < before + 2:
                over.wait(0.001)
    finally:
        over.set()
        writer.join()
    assert not faults
    for target in copies:
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
        copied = Ledger.open(f"sqlite:///{target}")
        counts = copied.read(
            lambda c: list(c.execute(select(func.count()).select_from(leads).group_by(leads.c.fingerprint)).scalars())
        )
        copied.close()
        assert set(counts) <= {50}


BARE = {
    "state": "received",
    "flow": "ping_post",
    "call": "ping",
    "test": False,
    "numcategory": 16001,
    "subid": "1",
    "customid": "1",
    "received_at": 1,
    "deadline_at": 1,
    "changed_at": 1,
    "due_at": 1,
}


def test_a_copy_takes_nothing_that_is_there_and_leaves_nothing_half(busy: Ledger, file: Path, tmp_path: Path):
    """A file with the copy's name is never written over; where the copy fails, its draft is gone."""
    there = tmp_path / "there"
    there.write_text("mine")
    with pytest.raises(FileExistsError):
        backup.copy(file, there)
    assert there.read_text() == "mine"
    with pytest.raises(sqlite3.Error):
        backup.copy(there, tmp_path / "of-what-is-no-ledger")
    assert sorted(path.name for path in tmp_path.iterdir() if "of-what" in path.name) == []


def put(file: Path, database: Path) -> None:
    with backup.in_the_place_of(database, file, aside=".old"):
        pass


def test_what_a_copy_replaces_is_kept_with_its_log(file: Path, tmp_path: Path):
    """What stands in the old ledger's log is kept with it, and never read into the new one."""
    old = Ledger.open(f"sqlite:///{file}")
    take_in(old, "in-both")
    backup.copy(file, tmp_path / "copy")
    reader = old.engine.connect()  # keeps the log from being emptied into the file when the others have gone
    take_in(old, "in-the-old-one")
    reader.close()
    put(tmp_path / "copy", file)
    old.close()
    kept = file.with_name("ledger.sqlite3.old")
    for path, there in ((file, False), (kept, True)):
        ledger = Ledger.open(f"sqlite:///{path}")
        assert standing(ledger, "in-both")
        assert (ledger.lead("in-the-old-one") is not None) is there
        ledger.close()


class Crash(BaseException):
    """The machine stops."""


@pytest.mark.parametrize("at", range(12))
def test_a_crash_in_the_midst_of_it_leaves_one_whole_ledger_there(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
):
    """The old one, or the new one with what was open ended: never none, never one whose leads would be sold again."""
    old = Ledger.open(f"sqlite:///{file}")
    take_in(old, "open")
    backup.copy(file, tmp_path / "copy")
    take_in(old, "since")
    old.close()
    steps = iter(range(at))
    done = False

    def crash_at(real):
        def step(*arguments, **options):
            if not done and next(steps, None) is None:
                raise Crash
            return real(*arguments, **options)

        return step

    for owner, name in ((backup.os, "link"), (backup.os, "fsync"), (Path, "replace"), (Path, "unlink")):
        monkeypatch.setattr(owner, name, crash_at(getattr(owner, name)))
    try:
        with backup.in_the_place_of(file, tmp_path / "copy", aside=".old") as draft:
            ledger = Ledger.open(f"sqlite:///{draft}")
            end_what_was_open(ledger)
            ledger.close()
    except Crash:
        pass
    done = True
    after = Ledger.open(f"sqlite:///{file}")
    found = (after.lead("since") is not None, standing(after, "open").state)
    after.close()
    assert found in [(True, State.RECEIVED), (False, State.UNKNOWN)]


@pytest.mark.parametrize("content", [b"", b"no ledger", None])
def test_what_is_no_ledger_is_not_put_in_place(file: Path, tmp_path: Path, content: bytes | None):
    """An empty file, another file and a ledger with a broken page are refused; the ledger stays as it is."""
    before = file.read_bytes()
    bad = tmp_path / "bad"
    if content is None:
        backup.copy(file, bad)
        with bad.open("r+b") as broken:
            broken.seek(4096 * 2)
            broken.write(b"\xff" * 8192)
    else:
        bad.write_bytes(content)
    with pytest.raises(backup.BadCopy):
        put(bad, file)
    assert file.read_bytes() == before


def test_a_broken_ledger_can_be_replaced(file: Path, tmp_path: Path):
    """That is when a backup is wanted most."""
    backup.copy(file, tmp_path / "copy")
    file.write_bytes(b"no ledger any more")
    put(tmp_path / "copy", file)
    backup.check(file)
    assert file.with_name("ledger.sqlite3.old").read_bytes() == b"no ledger any more"


@pytest.mark.parametrize("state", OPEN)
def test_a_lead_that_was_open_in_the_backup_is_unknown_after_it(ledger: Ledger, state: State):
    """Nobody knows what became of it since; it has one outcome, to be told and logged, and no step takes it up."""
    row = bring(ledger, state)
    assert end_what_was_open(ledger) == 1
    assert standing(ledger).state is State.UNKNOWN
    (untold,) = ledger.untold(older_than_ms=-1000, limit=10)
    assert (untold.outcome["status"], untold.outcome["stage"], untold.logged) == (
        "unknown",
        "post" if state in (State.BID, State.POSTING) else "ping",
        False,
    )
    assert "restored" in untold.outcome["reason"]
    assert columns(ledger)["epoch"] == row.epoch + 1
    assert ledger.standing_still(message_ms=-1000, call_ms=-1000, limit=10) == []
    assert end_what_was_open(ledger) == 0


@pytest.mark.parametrize("state", sorted(FINAL))
def test_a_lead_that_had_its_outcome_keeps_it(ledger: Ledger, state: State):
    """A backup's sale is a sale."""
    bring(ledger, state)
    before = columns(ledger)
    assert end_what_was_open(ledger) == 0
    assert columns(ledger) == before


def test_more_leads_than_one_batch_are_all_ended(ledger: Ledger):
    """However many were open."""
    with ledger.engine.begin() as connection:
        rows = [{**BARE, "lead_id": f"L{number}", "fingerprint": "f"} for number in range(AT_ONCE * 2 + 1)]
        connection.execute(leads.insert(), rows)
    assert end_what_was_open(ledger) == AT_ONCE * 2 + 1

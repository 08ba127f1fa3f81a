"""Retention: who the caller was is forgotten, what was earned is not."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from tasks import upkeep
from tasks.core.outcome import Status
from tasks.core.states import State
from tasks.ledger import Ledger, Reception
from tasks.measuring import UNMEASURED
from tests.ledger.stories import FIELDS, age, arrival, at_once, bring, columns, standing, take_in

DAY_MS = 86_400_000
KEPT = ("state", "status", "outcome", "token", "price_quoted", "price_confirmed", "phone_number", "customid", "subid")


def erase(ledger: Ledger, *, days: int = 30, limit: int = 100) -> int:
    return ledger.erase_identity(older_than_ms=days * DAY_MS, limit=limit)


def old(ledger: Ledger, lead_id: str = "L1", state: State = State.SOLD, days: int = 31) -> None:
    """A lead that ended so many days ago."""
    bring(ledger, state, lead_id)
    age(ledger, days * DAY_MS, "ended_at", "received_at", "deadline_at", lead_id=lead_id)


def test_an_old_lead_keeps_its_money_and_loses_its_caller(ledger: Ledger):
    old(ledger)
    before = columns(ledger)

    assert erase(ledger) == 1

    after = columns(ledger)
    assert after["content"] is None
    assert after["fingerprint"] == ""
    assert {name: after[name] for name in KEPT} == {name: before[name] for name in KEPT}
    assert erase(ledger) == 0


@pytest.mark.parametrize("state", [State.RECEIVED, State.PINGING, State.BID, State.POSTING])
def test_a_lead_that_has_no_end_is_never_touched_however_old(ledger: Ledger, state: State):
    bring(ledger, state)
    age(ledger, 400 * DAY_MS, "received_at", "deadline_at", "due_at", "changed_at")
    before = columns(ledger)

    assert erase(ledger, days=0) == 0

    assert columns(ledger) == before


def test_a_lead_is_kept_to_its_last_day_and_no_days_keep_it_to_its_end(ledger: Ledger):
    old(ledger, days=29)

    assert erase(ledger) == 0
    assert erase(ledger, days=0) == 1


def test_the_oldest_go_first_and_a_batch_is_no_larger_than_asked(ledger: Ledger):
    for number in range(5):
        old(ledger, f"L{number}", days=31 + number)

    assert erase(ledger, limit=2) == 2

    left = [number for number in range(5) if columns(ledger, f"L{number}")["content"] is not None]
    assert left == [0, 1, 2]


def test_a_lead_that_comes_again_after_its_content_was_erased_gets_its_outcome(ledger: Ledger):
    """Nobody can tell any more whether its content is the same: it is never sold again."""
    old(ledger)
    erase(ledger)

    same, other = ledger.accept([arrival()]), ledger.accept([arrival(firstname="Other")])

    for receipt in (*same, *other):
        assert (receipt.reception, receipt.replay) == (Reception.ENDED, True)
        assert receipt.outcome is not None
        assert receipt.outcome["status"] == Status.SOLD.value
    assert columns(ledger)["content"] is None


def test_two_that_erase_at_once_do_no_harm(ledger: Ledger, open_ledger):
    for number in range(40):
        old(ledger, f"L{number}")
    others = [open_ledger() for _ in range(3)]

    erased = at_once([lambda it=it: erase(it, limit=25) for it in others])
    erased.append(erase(ledger))

    assert sum(int(count) for count in erased) >= 40  # type: ignore[arg-type]  # no error is among them
    assert all(columns(ledger, f"L{number}")["content"] is None for number in range(40))


def test_leads_are_taken_in_and_moved_while_others_are_erased(ledger: Ledger, open_ledger):
    for number in range(60):
        old(ledger, f"L{number}")
    beside, stop = open_ledger(), threading.Event()
    taken: list[str] = []

    def load() -> None:
        while not stop.is_set():
            taken.append(f"N{len(taken)}")
            take_in(beside, taken[-1])

    loader = threading.Thread(target=load)
    loader.start()
    while erase(ledger, limit=5):
        pass
    stop.set()
    loader.join()

    assert taken
    assert all(standing(ledger, lead_id).fields == FIELDS for lead_id in taken)


def test_no_byte_of_the_caller_is_left_in_sqlite_s_files(migrated_sqlite: Path, tmp_path: Path):
    """Freed cells are overwritten, and the log is emptied."""
    path = tmp_path / "ledger.sqlite3"
    path.write_bytes(migrated_sqlite.read_bytes())
    ledger = Ledger.open(f"sqlite:///{path}")
    for number in range(30):
        old(ledger, f"L{number}")
    assert b"Zebulon" in b"".join(file.read_bytes() for file in tmp_path.iterdir())

    erase(ledger)
    ledger.checkpoint()

    assert b"Zebulon" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())
    ledger.close()


def test_upkeep_forgets_in_batches_and_says_how_many(ledger: Ledger, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(upkeep, "AT_ONCE", 2)
    for number in range(5):
        old(ledger, f"L{number}")
    rules = SimpleNamespace(retention_days=30)
    services = SimpleNamespace(ledger=ledger, rules=rules, measures=UNMEASURED)
    task = SimpleNamespace(app=SimpleNamespace(services=services))

    with capture_logs() as lines:
        upkeep.forget.run.__func__(task)
        upkeep.forget.run.__func__(task)

    assert lines == [{"event": "identity.erased", "log_level": "info", "leads": 5, "older_than_days": 30}]

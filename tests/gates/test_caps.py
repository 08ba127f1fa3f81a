"""Caps: a 4000 closes one scope for all workers, until the buyer's next day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread

from structlog.testing import capture_logs

from tasks.gates import Closed, Gate, Go, SharedGates
from tests.gates.conftest import ask

TOMORROW = datetime.now(UTC) + timedelta(hours=9)
PAST = datetime.now(UTC) - timedelta(seconds=5)


def close(gates: SharedGates, scope: str = "category:16001", until: datetime | None = TOMORROW) -> bool:
    return gates.close(scope, code=4000, reason="Daily Cap reached", until=until)


def gate_of(gates: SharedGates, scope: str = "category:16001") -> Gate:
    return next(gate for gate in gates.all() if gate.scope == scope)


def test_a_closed_gate_turns_leads_of_its_scope_away_and_counts_them(shared):
    gates = shared.gates()
    assert close(gates)

    refused = [shared.gates().admit(ask("category:16001")) for _ in range(3)]

    assert [type(answer) for answer in refused] == [Closed] * 3
    assert isinstance(refused[0], Closed)
    assert refused[0].code == 4000
    assert abs((refused[0].until or PAST) - TOMORROW) < timedelta(seconds=1)
    gate = gate_of(gates)
    assert (gate.closed, gate.code, gate.turned_away) == (True, 4000, 3)


def test_leads_of_other_scopes_pass_a_closed_gate(shared):
    close(shared.gates())

    assert isinstance(shared.gates().admit(ask("category:16002")), Go)


def test_a_gate_closes_once_however_many_workers_meet_the_cap_together(shared):
    together = Barrier(8)
    closed = []

    def meet() -> None:
        gates = shared.gates()
        together.wait()
        closed.append(close(gates))

    with capture_logs() as lines:
        threads = [Thread(target=meet) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert sorted(closed) == [False] * 7 + [True]
    assert [line["event"] for line in lines].count("gate.closed") == 1


def test_a_store_that_was_emptied_is_told_again_which_gates_are_closed(shared):
    close(shared.gates())
    shared.store.flushdb()

    shared.gates().reset()

    assert isinstance(shared.gates().admit(ask("category:16001")), Closed)


def test_a_gate_whose_time_is_over_lets_leads_pass_even_if_no_beat_opens_it(shared):
    close(shared.gates(), until=PAST)

    assert isinstance(shared.gates().admit(ask("category:16001")), Go)


def test_a_reset_is_logged_once_though_two_beats_ask_at_the_same_time(shared):
    gates = shared.gates()
    close(gates, until=TOMORROW)
    gates.admit(ask("category:16001"))
    close(gates, until=PAST)
    together = Barrier(2)
    opened: list[Gate] = []

    def beat() -> None:
        mine = shared.gates()
        together.wait()
        opened.extend(mine.reset())

    with capture_logs() as lines:
        beats = [Thread(target=beat) for _ in range(2)]
        for thread in beats:
            thread.start()
        for thread in beats:
            thread.join()

    assert [gate.scope for gate in opened] == ["category:16001"]
    assert opened[0].turned_away == 1
    assert [line["event"] for line in lines].count("cap.reset") == 1
    assert [gate.scope for gate in gates.all()] == ["buyer"]


def test_a_reset_leaves_gates_whose_time_has_not_come(shared):
    gates = shared.gates()
    close(gates)

    assert gates.reset() == []
    assert gate_of(gates).closed


def test_a_cap_met_again_right_after_its_time_closes_the_gate_anew(shared):
    gates = shared.gates()
    close(gates, until=PAST)

    with capture_logs() as lines:
        assert close(gates)

    assert [line["event"] for line in lines] == ["cap.reset", "gate.opened", "gate.closed"]
    assert isinstance(gates.admit(ask("category:16001")), Closed)


def test_a_store_that_forgot_everything_is_told_by_the_ledger_which_gates_are_closed(shared):
    close(shared.gates())
    shared.store.flushdb()
    fresh = shared.gates()
    assert isinstance(fresh.admit(ask("category:16001")), Go)

    fresh.reset()

    assert isinstance(fresh.admit(ask("category:16001")), Closed)


def test_a_gate_met_in_test_mode_is_not_the_live_one(shared):
    close(shared.gates(test=True))

    assert isinstance(shared.gates().admit(ask("category:16001")), Go)
    shared.store.flushdb()
    live = shared.gates()
    live.reset()
    assert isinstance(live.admit(ask("category:16001")), Go)


def test_an_operator_opens_a_gate_and_hears_when_it_was_open_already(shared):
    gates = shared.gates()
    close(gates)

    assert gates.open("category:16001", "by hand")
    assert not gates.open("category:16001", "by hand")
    assert isinstance(gates.admit(ask("category:16001")), Go)


def test_a_gate_closed_by_hand_stays_closed_until_it_is_opened_by_hand(shared):
    gates = shared.gates()
    gates.close("subid:123", code=None, reason="closed by an operator", until=None)

    assert gates.reset() == []
    answer = gates.admit(ask("subid:123"))
    assert isinstance(answer, Closed)
    assert answer.until is None

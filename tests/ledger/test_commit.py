"""Group commit: writes of many threads share transactions, and each is all or nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest
from sqlalchemy import Connection, event, func, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from ops.servers.waiting import wait_until
from tasks.core.protocol import Call
from tasks.core.states import State
from tasks.ledger import Ledger, Reception, engine
from tasks.ledger.commit import LARGEST_GROUP, GroupCommit
from tasks.ledger.schema import gates
from tests.ledger.stories import BID, BUDGET_MS, arrival, at_once, bid_move, exchange, standing


def put(scope: str) -> Callable[[Connection], str]:
    def work(connection: Connection) -> str:
        connection.execute(insert(gates).values(scope=scope, reason="", since=0))
        return scope

    return work


def scopes(ledger: Ledger) -> set[str]:
    return {gate.scope for gate in ledger.closed_gates()}


@pytest.fixture
def commit(ledger: Ledger) -> Iterator[GroupCommit]:
    with closing(GroupCommit(ledger.engine)) as commit:
        yield commit


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with every transaction that is committed."""
    seen: list[int] = []

    def count(connection: Connection) -> None:
        seen.append(1)
        engine.commit(connection)

    monkeypatch.setattr("tasks.ledger.commit.commit", count)
    return seen


def grouped(commit: GroupCommit, works: list[Callable[[Connection], str]]) -> list[str | BaseException]:
    """Hand all works in while another write is under way, so that they make one group; give results in order."""
    begun, go = threading.Event(), threading.Event()

    def hold(connection: Connection) -> None:
        connection.execute(select(1))
        begun.set()
        assert go.wait(30)

    holder = threading.Thread(target=commit.write, args=(hold,), daemon=True)
    holder.start()
    assert begun.wait(30)
    results: list[str | BaseException] = [RuntimeError("never ran")] * len(works)

    def run(place: int) -> None:
        try:
            results[place] = commit.write(works[place])
        except BaseException as fault:  # noqa: BLE001 - handed to the test
            results[place] = fault

    threads = [threading.Thread(target=run, args=(place,), daemon=True) for place in range(len(works))]
    for count, thread in enumerate(threads, 1):
        thread.start()
        assert wait_until(lambda count=count: len(commit._together._waiting) == count, within_s=30, every_s=0.001)
    go.set()
    for thread in (holder, *threads):
        thread.join(30)
        assert not thread.is_alive(), "a thread never came back"
    return results


def test_a_write_is_committed_when_it_returns(commit: GroupCommit, open_ledger: Callable[[], Ledger]):
    assert commit.write(put("a")) == "a"
    assert scopes(open_ledger()) == {"a"}


def test_writes_that_come_together_share_one_commit(commit: GroupCommit, ledger: Ledger, commits: list[int]):
    names = [f"s{number}" for number in range(20)]
    assert grouped(commit, [put(name) for name in names]) == names
    assert len(commits) == 2, "the one that was held, and the group"
    assert scopes(ledger) == set(names)


def test_a_group_has_a_largest_size(commit: GroupCommit, ledger: Ledger, commits: list[int]):
    names = [f"s{number}" for number in range(LARGEST_GROUP + 1)]
    assert grouped(commit, [put(name) for name in names]) == names
    assert len(commits) == 3
    assert scopes(ledger) == set(names)


def test_a_failing_write_in_a_group_fails_alone(commit: GroupCommit, ledger: Ledger):
    commit.write(put("taken"))

    def broken(_connection: Connection) -> str:
        raise ZeroDivisionError

    results = grouped(commit, [put("a"), put("taken"), broken, put("b")])
    assert results[0] == "a"
    assert isinstance(results[1], IntegrityError)
    assert isinstance(results[2], ZeroDivisionError)
    assert results[3] == "b"
    assert scopes(ledger) == {"taken", "a", "b"}


def test_a_write_that_fails_leaves_nothing_behind(commit: GroupCommit, ledger: Ledger):
    def half(connection: Connection) -> str:
        put("half")(connection)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        commit.write(half)
    assert isinstance(grouped(commit, [half, put("whole")])[0], ZeroDivisionError)
    assert scopes(ledger) == {"whole"}
    assert commit.write(put("next")) == "next"


def test_a_commit_in_doubt_is_told_to_all_of_its_group_and_not_run_anew(
    commit: GroupCommit, open_ledger: Callable[[], Ledger]
):
    ran: list[str] = []

    def counted(name: str) -> Callable[[Connection], str]:
        def work(connection: Connection) -> str:
            ran.append(name)
            return put(name)(connection)

        return work

    faults = [None, OperationalError("COMMIT", None, Exception("the server is gone"))]

    def fail(connection: Connection) -> None:
        fault = faults.pop(0) if faults else None
        if fault:
            raise fault
        engine.commit(connection)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tasks.ledger.commit.commit", fail)
        results = grouped(commit, [counted("a"), counted("b")])
    assert [type(result) for result in results] == [OperationalError, OperationalError]
    assert ran == ["a", "b"]
    assert open_ledger().accept([arrival()])[0].reception is Reception.NEW, "no lock was left behind"
    assert commit.write(put("next")) == "next"


def test_whoever_is_interrupted_while_committing_leaves_nobody_waiting(commit: GroupCommit, ledger: Ledger):
    def interrupted(_connection: Connection) -> str:
        raise KeyboardInterrupt

    results = grouped(commit, [interrupted, put("a")])
    assert [type(result) for result in results] == [KeyboardInterrupt, KeyboardInterrupt]
    assert scopes(ledger) == set()
    assert commit.write(put("next")) == "next"


def test_thirty_two_threads_write_at_once(ledger: Ledger):
    ids = [f"L{number}" for number in range(32)]

    def sell(lead_id: str) -> bool:
        ledger.accept([arrival(lead_id)])
        mine = ledger.claim(standing(ledger, lead_id), Call.PING, BUDGET_MS)
        return mine is not None and ledger.settle(mine, exchange(Call.PING, BID), bid_move())

    assert at_once([lambda lead_id=lead_id: sell(lead_id) for lead_id in ids]) == [True] * 32
    assert {standing(ledger, lead_id).state for lead_id in ids} == {State.BID}


def test_a_read_within_a_burst_of_writes_sees_what_is_committed(ledger: Ledger):
    def write_and_read(number: int) -> bool:
        ledger.accept([arrival(f"L{number}")])
        return ledger.lead(f"L{number}") is not None

    assert all(at_once([lambda number=number: write_and_read(number) for number in range(16)]))


@pytest.mark.postgresql
@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
class TestOnAServer:
    """What only a server can do to us."""

    @staticmethod
    def _kill_all(ledger: Ledger) -> int:
        others = text(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        with ledger.engine.connect() as connection:
            killed: int = connection.execute(others).scalar_one()
        return killed

    def test_connections_that_the_server_closed_are_replaced(self, ledger: Ledger, open_ledger: Callable[[], Ledger]):
        admin = open_ledger()
        ledger.accept([arrival("L1")])
        assert self._kill_all(admin) >= 1
        assert ledger.lead("L1") is not None, "the next read works"
        assert self._kill_all(admin) >= 1
        assert ledger.claim(standing(ledger), Call.PING, BUDGET_MS) is not None, "the next write works"
        assert self._kill_all(admin) >= 1
        assert ledger.accept([arrival("L2")])[0].reception.value == "new"

    def test_a_group_whose_connection_is_killed_is_written_whole(
        self, commit: GroupCommit, ledger: Ledger, open_ledger: Callable[[], Ledger]
    ):
        admin = open_ledger()
        killed = []

        def kill_us_first(connection: Connection) -> str:
            if not killed:
                pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
                killed.append(pid)
                with admin.engine.begin() as other:
                    other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
            return put("killed")(connection)

        assert grouped(commit, [put("a"), kill_us_first, put("b")]) == ["a", "killed", "b"]
        assert scopes(ledger) == {"a", "killed", "b"}

    def test_a_deadlock_that_the_server_breaks_is_written_in_the_end(
        self, ledger: Ledger, open_ledger: Callable[[], Ledger], stack: ExitStack
    ):
        commits = [stack.enter_context(closing(GroupCommit(open_ledger().engine))) for _ in range(2)]
        commits[0].write(put("x"))
        commits[0].write(put("y"))
        both = threading.Barrier(2)

        def cross(first: str, second: str) -> Callable[[Connection], str]:
            meet = [True]

            def work(connection: Connection) -> str:
                bump = text("UPDATE gates SET turned_away = turned_away + 1 WHERE scope = :scope")
                connection.execute(bump, {"scope": first})
                if meet:
                    meet.clear()
                    both.wait(10)
                connection.execute(bump, {"scope": second})
                return first

            return work

        done = at_once([lambda: commits[0].write(cross("x", "y")), lambda: commits[1].write(cross("y", "x"))])
        assert done == ["x", "y"]
        assert ledger.read(lambda c: c.execute(select(func.sum(gates.c.turned_away))).scalar_one()) == 4

    def test_without_a_server_a_whole_group_fails_at_once(self, ledger: Ledger):
        tries = []

        @event.listens_for(ledger.engine, "do_connect")
        def refuse(*_arguments: object) -> None:
            tries.append(1)
            fault = "connection refused"
            raise ledger.engine.dialect.dbapi.OperationalError(fault)  # type: ignore[union-attr]

        def use(connection: Connection) -> str:
            return str(connection.execute(select(1)).scalar_one())

        engine_less = GroupCommit(ledger.engine)
        ledger.engine.dispose()
        results = at_once([lambda: engine_less.write(use) for _ in range(4)])
        event.remove(ledger.engine, "do_connect", refuse)
        assert all(isinstance(result, DBAPIError) for result in results), results
        assert len(tries) <= 4

"""Several gates for one lead, and gates that one lead at a time may try."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from tasks.gates import Closed, Go, Heard, Probe, RedisStore, Register, SharedGates, Wait
from tasks.gates.store import HOLD_MS, LONG_SILENT_RUN, SILENT_MS, SILENT_RUN
from tests.gates.conftest import CALENDAR, ask

TOMORROW = datetime.now(UTC) + timedelta(hours=9)
PARTNER, SOURCE, CATEGORY = SCOPES = ("partner:XYZ", "subid:123", "category:16001")


def close(gates: SharedGates, scope: str, probe_s: float | None = None, until: datetime | None = TOMORROW) -> bool:
    return gates.close(scope, code=4000, reason="Daily Cap reached", until=until, probe_s=probe_s)


@pytest.mark.parametrize("scope", SCOPES)
def test_a_lead_must_pass_all_its_gates(shared, scope: str):
    """The partner's, the sub source's and the category's; whichever is closed turns it away, and counts it."""
    gates = shared.gates()
    close(gates, scope)
    answer = gates.admit(ask(*SCOPES))
    assert isinstance(answer, Closed)
    assert answer.scope == scope
    assert [gate.turned_away for gate in gates.all() if gate.scope == scope] == [1]
    assert isinstance(gates.admit(ask(*(other for other in SCOPES if other != scope))), Go)


def test_one_lead_tries_a_gate_that_is_to_be_tried_and_the_others_are_turned_away(shared):
    close(shared.gates(), CATEGORY, probe_s=0)
    answers = [shared.gates().admit(ask(*SCOPES)) for _ in range(5)]
    assert [type(answer) for answer in answers] == [Go] + [Closed] * 4
    assert isinstance(answers[0], Go)
    assert answers[0].probes == (Probe(CATEGORY, 4000),)


def test_nobody_tries_a_gate_before_its_time_nor_one_that_is_not_to_be_tried(shared):
    close(shared.gates(), CATEGORY, probe_s=60)
    close(shared.gates(), SOURCE)
    assert isinstance(shared.gates().admit(ask(CATEGORY)), Closed)
    assert isinstance(shared.gates().admit(ask(SOURCE)), Closed)


def test_a_lead_that_would_try_one_gate_does_not_pass_another(shared):
    """And takes nobody's turn."""
    close(shared.gates(), CATEGORY, probe_s=0)
    close(shared.gates(), PARTNER)
    answer = shared.gates().admit(ask(*SCOPES))
    assert isinstance(answer, Closed)
    assert answer.scope == PARTNER
    shared.gates().open(PARTNER, "by hand")
    assert isinstance(shared.gates().admit(ask(*SCOPES)), Go)


def test_a_try_that_is_never_heard_of_makes_room_for_another(shared):
    """Its worker died: the gate may be tried again when its call's time is over."""
    gates = shared.gates()
    close(gates, CATEGORY, probe_s=0)
    assert isinstance(gates.admit(ask(CATEGORY, budget_ms=1)), Go)
    answer = gates.admit(ask(CATEGORY))
    while isinstance(answer, Closed):
        answer = gates.admit(ask(CATEGORY))
    assert isinstance(answer, Go)
    assert answer.probes == (Probe(CATEGORY, 4000),)


def test_after_a_try_in_vain_the_next_comes_later_each_time(shared):
    gates = shared.gates()
    close(gates, CATEGORY, probe_s=0)
    tried: list[int] = []

    def after(probes: int) -> float:
        tried.append(probes)
        return 0 if probes < 3 else 60

    for _ in range(3):
        go = gates.admit(ask(CATEGORY, budget_ms=0))
        assert isinstance(go, Go)
        gates.heard(go, Heard.UNASKED, code=None, reason="", retry_after_s=None)
        gates.probed(CATEGORY, after)
    assert tried == [1, 2, 3]
    assert isinstance(gates.admit(ask(CATEGORY)), Closed)
    (gate,) = [gate for gate in gates.all() if gate.scope == CATEGORY]
    assert gate.probe_at is not None
    assert timedelta(seconds=50) < gate.probe_at - datetime.now(UTC) < timedelta(seconds=70)


def test_a_reset_that_tells_the_store_again_gives_nobody_a_second_turn(shared):
    gates = shared.gates()
    close(gates, CATEGORY, probe_s=0)
    assert isinstance(gates.admit(ask(CATEGORY, budget_ms=60_000)), Go)
    gates.reset()
    assert isinstance(gates.admit(ask(CATEGORY)), Closed)


def test_a_lead_that_has_to_wait_before_it_tries_a_gate_keeps_its_turn_and_the_others_are_turned_away(shared):
    """They are capped at once, though the one that tries waits for a place."""
    hear(shared, Heard.WAIT)
    close(shared.gates(), CATEGORY, probe_s=0)
    first = ask(CATEGORY, lead_id="first")
    assert isinstance(shared.gates().admit(first), Wait)
    assert [type(shared.gates().admit(ask(CATEGORY))) for _ in range(3)] == [Closed] * 3
    shared.store.hset("pingpost:XYZ:live:pace", "hold", 1)
    assert [type(shared.gates().admit(it)) for it in (ask(CATEGORY), first)] == [Closed, Go]


def test_a_turn_that_its_lead_does_not_come_for_is_given_to_another(shared):
    hear(shared, Heard.WAIT)
    close(shared.gates(), CATEGORY, probe_s=0)
    assert isinstance(shared.gates().admit(ask(CATEGORY, lead_id="first")), Wait)
    shared.store.hset("pingpost:XYZ:live:pace", "hold", 1)
    shared.store.hset(f"pingpost:XYZ:live:gate:{CATEGORY}", "kept", 1)
    assert isinstance(shared.gates().admit(ask(CATEGORY)), Go)


def test_a_lead_tries_all_its_gates_that_are_to_be_tried(shared):
    """Else two of them would keep each other closed for ever."""
    close(shared.gates(), CATEGORY, probe_s=0)
    shared.gates().close(PARTNER, code=3000, reason="Account not active", until=None, probe_s=0)
    answer = shared.gates().admit(ask(*SCOPES))
    assert isinstance(answer, Go)
    assert answer.probes == (Probe(PARTNER, 3000), Probe(CATEGORY, 4000))
    assert isinstance(shared.gates().admit(ask(*SCOPES)), Closed)


def test_a_gate_that_an_operator_closes_while_a_lead_tries_it_stays_closed_whatever_that_brings(shared):
    for scope, code, until in ((CATEGORY, 4000, TOMORROW), (PARTNER, 3000, None)):
        gates = shared.gates()
        gates.close(scope, code=code, reason="the buyer's", until=until, probe_s=0)
        assert isinstance(gates.admit(ask(scope)), Go)
        assert gates.close(scope, code=None, reason="by hand", until=None)
        gates.probed(scope, lambda _: 0)
        assert not gates.open(scope, "the buyer sells again", by_probe=True)
        answer = gates.admit(ask(scope))
        assert isinstance(answer, Closed)
        assert (answer.reason, answer.until) == ("by hand", None)


def test_a_lead_that_is_turned_away_leaves_the_waiting_room(shared):
    """Its place would make all others wait for somebody who never comes."""
    for name in ("room", "leaving"):
        shared.store.zadd(f"pingpost:XYZ:live:{name}", {"gone": 4e12})
    close(shared.gates(), CATEGORY)
    assert isinstance(shared.gates().admit(ask(CATEGORY, lead_id="gone")), Closed)
    assert not shared.store.exists("pingpost:XYZ:live:room", "pingpost:XYZ:live:leaving")


def test_a_gate_that_is_to_be_tried_is_not_tried_while_the_store_is_away(shared):
    """Only the store can let one lead alone pass."""
    close(shared.gates(), CATEGORY, probe_s=0)
    register = Register(shared.ledger, CALENDAR, test=False)
    assert isinstance(register.ask([CATEGORY]), Closed)


def test_a_gate_that_one_lead_has_passed_is_opened_with_its_word(shared):
    gates = shared.gates()
    close(gates, CATEGORY, probe_s=0)
    with capture_logs() as lines:
        assert gates.open(CATEGORY, "the buyer sells again")
    assert [(line["event"], line["reason"]) for line in lines] == [("gate.opened", "the buyer sells again")]
    assert isinstance(gates.admit(ask(CATEGORY)), Go)


def test_a_cap_that_was_met_by_another_calendar_ends_with_the_day_of_the_new_one(shared):
    """The operator has changed the buyer's zone: the gate opens at that zone's midnight."""
    gates = shared.gates()
    gates.close(CATEGORY, code=4000, reason="Daily Cap reached", until=CALENDAR.ends(datetime.now(UTC)))
    utc = CALENDAR.__class__(CALENDAR.zone.__class__("Asia/Tokyo"), CALENDAR.reset)
    changed = SharedGates(
        RedisStore(shared.store, partner_id="XYZ", test=False), Register(shared.ledger, utc, test=False)
    )
    changed.reset()
    answer = changed.admit(ask(CATEGORY))
    assert isinstance(answer, Closed)
    assert answer.until is not None
    assert abs(answer.until - utc.ends(datetime.now(UTC))) < timedelta(seconds=1)


# Silence


def hear(shared, heard: Heard, calls: int = 1) -> None:
    for _ in range(calls):
        go = shared.gates().admit(ask(CATEGORY))
        assert isinstance(go, Go)
        gates = shared.gates()
        gates.heard(go, heard, code=None, reason="", retry_after_s=None)
        gates.flush()


def quiet(shared, calls: int) -> None:
    hear(shared, Heard.NOTHING, calls)


def test_a_run_of_calls_without_an_answer_makes_all_wait_and_says_why(shared):
    quiet(shared, SILENT_RUN - 1)
    with capture_logs() as lines:
        quiet(shared, 1)
    answer = shared.gates().admit(ask(CATEGORY))
    assert isinstance(answer, Wait)
    assert answer.seconds > 0.8 * HOLD_MS[Heard.NOTHING][0] / 1000
    assert "brought no answer" in answer.reason
    (line,) = lines
    assert (line["event"], line["scope"]) == ("gate.closed", "buyer")
    assert line["reason"].startswith(f"{SILENT_RUN} calls in a row")


def test_a_buyer_that_has_just_answered_is_not_silent_for_a_while(shared):
    """Some answers of many are late: those in between show that it works."""
    hear(shared, Heard.WELL)
    shared.store.hincrby("pingpost:XYZ:live:pace", "well", SILENT_MS * 100)
    quiet(shared, LONG_SILENT_RUN - 1)
    assert isinstance(shared.gates().admit(ask(CATEGORY)), Go)
    quiet(shared, 1)
    assert isinstance(shared.gates().admit(ask(CATEGORY)), Wait)


@pytest.mark.parametrize("heard", [Heard.WELL, Heard.GARBLED])
def test_any_answer_ends_a_run(shared, heard: Heard):
    quiet(shared, SILENT_RUN - 1)
    hear(shared, heard)
    shared.store.hset("pingpost:XYZ:live:pace", "well", 1)
    quiet(shared, SILENT_RUN - 1)
    assert isinstance(shared.gates().admit(ask(CATEGORY)), Go)


def test_a_try_without_an_answer_makes_the_hold_longer(shared):
    quiet(shared, SILENT_RUN)
    shared.store.hset("pingpost:XYZ:live:pace", "hold", 1)
    quiet(shared, 1)
    answer = shared.gates().admit(ask(CATEGORY))
    assert isinstance(answer, Wait)
    assert answer.seconds > 0.8 * HOLD_MS[Heard.NOTHING][1] / 1000


def test_an_answer_that_cannot_be_read_ends_a_silence_and_no_maintenance(shared):
    """The maintenance page of many a server is one."""
    quiet(shared, SILENT_RUN)
    shared.store.hset("pingpost:XYZ:live:pace", "hold", 1)
    hear(shared, Heard.GARBLED)
    assert [type(shared.gates().admit(ask(CATEGORY))) for _ in range(2)] == [Go, Go]
    shared.store.flushdb()
    hear(shared, Heard.WAIT)
    shared.store.hset("pingpost:XYZ:live:pace", "hold", 1)
    hear(shared, Heard.GARBLED)
    assert isinstance(shared.gates().admit(ask(CATEGORY)), Wait)


def test_a_call_that_was_not_made_says_nothing(shared):
    hear(shared, Heard.UNASKED, 2 * LONG_SILENT_RUN)
    assert isinstance(shared.gates().admit(ask(CATEGORY)), Go)

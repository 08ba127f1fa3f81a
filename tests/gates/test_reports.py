"""Calls that went well, reported together: the store is left as if each had been reported alone."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from tasks.gates import Go, Heard, RedisStore
from tests.gates.conftest import ask

SCOPE = "category:16001"
NOW = 1_764_000_000_000
Step = tuple[int, int, Heard | None, int]
# What happens in turn: so many ms go by, so many ask for a call, one that flies may bring something bad, and so many
# that fly, and one that nobody knows any more, report that all was well.
STEPS = st.tuples(
    st.sampled_from([0, 3, 240, 400, 1000, 2500, 6000]),
    st.integers(0, 80),
    st.sampled_from([None, None, None, Heard.WAIT, Heard.SLOW, Heard.GARBLED]),
    st.integers(0, 70),
)


def history(store: Redis, name: str, steps: list[Step], *, together: bool) -> Iterator[object]:
    """Live a history, and give what the store knows after each step."""
    clock = [NOW]
    gates = RedisStore(store, partner_id=name, test=False, now_ms=lambda: clock[0], chance=lambda: 0.5)
    tickets = count()
    flying: list[str] = []
    for ms, asked, bad, reported in steps:
        clock[0] += ms
        answers = [gates.admit(ask(SCOPE, lead_id="lead"), str(next(tickets))) for _ in range(asked)]
        flying += [answer.ticket for answer in answers if isinstance(answer, Go)]
        if bad and flying:
            gates.heard(flying.pop(), bad, code=None, reason="", retry_after_s=None)
        for ticket in [*flying[:reported], f"unknown/{clock[0]}"]:
            gates.heard_well(ticket, lambda _: None)
            if not together:
                gates.flush()
        gates.flush()
        del flying[:reported]
        yield store.hgetall(f"pingpost:{name}:live:pace"), store.zrange(f"pingpost:{name}:live:flight", 0, -1)


@given(st.lists(STEPS, max_size=12))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_the_store_is_left_as_if_each_had_been_reported_alone(shared, steps):
    shared.store.flushdb()
    alone = list(history(shared.store, "alone", steps, together=False))
    assert list(history(shared.store, "together", steps, together=True)) == alone


def test_one_that_began_after_the_hold_opens_the_gate_for_all(shared):
    """Among answers of before the hold, which say nothing of now."""
    clock = [NOW]
    store = RedisStore(shared.store, partner_id="XYZ", test=False, now_ms=lambda: clock[0])
    before, other = (store.admit(ask(SCOPE), ticket) for ticket in ("before", "other"))
    assert isinstance(before, Go)
    assert isinstance(other, Go)
    store.heard(other.ticket, Heard.WAIT, code=1000, reason="maintenance", retry_after_s=None)
    clock[0] += 10_000
    after = store.admit(ask(SCOPE), "after")
    assert isinstance(after, Go)
    turned = []
    for ticket in (before.ticket, after.ticket):
        store.heard_well(ticket, turned.append)
    assert store.pace().closed is False
    assert turned == [("opened", NOW, None, "")]

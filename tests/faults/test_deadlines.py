"""The deadline: it ends what waits, and lets no call begin after it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.faults.conftest import House, send


def test_a_lead_that_waits_past_its_deadline_ends_expired_close_to_it(house: House):
    """A Retry-After of an hour is cut to what remains; the reason says what the lead waited for."""
    send(house, ("d-hour", {"zipcode": "52000", "deadline_s": 3}))
    outcome = house.outcome("d-hour")
    try:
        assert (outcome["status"], outcome["stage"], outcome["code"]) == ("expired", "ping", 1100)
        facts = house.story("d-hour").facts
        assert facts is not None
        assert timedelta(0) <= datetime.fromisoformat(outcome["at"]) - facts.deadline_at < timedelta(seconds=3)
        assert len(house.calls("52000", "ping")) == 1
    finally:
        house.installation.command("gates", "open", "buyer")


def test_a_lead_that_comes_after_its_deadline_ends_expired_without_a_call(house: House):
    """The deadline counts from when the producer made the lead."""
    made = datetime.now(UTC) - timedelta(minutes=5)
    send(house, ("d-old", {"zipcode": "60050", "created_at": made.isoformat().replace("+00:00", "Z")}))

    outcome = house.outcome("d-old")

    assert (outcome["status"], outcome["stage"]) == ("expired", "ping")
    assert house.calls("60050", "ping") == []


def test_a_lead_that_comes_as_it_expires_is_neither_posted_nor_left_lying(house: House):
    """A one-step call is a post: it does not begin after the deadline either."""
    made = datetime.now(UTC) - timedelta(seconds=30)
    created_at = made.isoformat().replace("+00:00", "Z")
    send(house, ("d-edge", {"zipcode": "60051", "flow": "one_step", "created_at": created_at, "deadline_s": 30}))

    outcome = house.outcome("d-edge")

    assert outcome["status"] == "expired"
    assert house.calls("60051", "one_step") == []

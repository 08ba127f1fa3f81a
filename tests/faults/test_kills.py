"""Parts that are killed in the midst of their work, on each broker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import psutil
import pytest
from redis import Redis

from ops.sandbox import Sandbox
from tasks.buyers.registry import load_protocol
from tasks.core.caps import Calendar
from tasks.core.lead import Flow, Lead
from tasks.core.protocol import Call
from tasks.core.validation import Defaults, read_lead
from tasks.gates import RedisStore, Register, SharedGates
from tasks.ledger import Arrival
from tests.faults.conftest import SELLING, House, flow_of, send
from tests.integration.installation import Installation, installed, lead, wait_for
from tests.integration.upstream import Upstream
from tests.integration.zone import soon
from workers.places import ledger_default


def kill(process: psutil.Process) -> None:
    process.kill()
    psutil.wait_procs([process], timeout=10)


def test_a_lead_whose_worker_is_killed_in_mid_ping_is_pinged_again_and_sold_once(house: House):
    """A ping may be repeated; the token of the first is never posted."""
    send(house, ("k-ping", {"zipcode": "50000"}))
    house.wait_for_call("50000", "ping")

    kill(house.installation.part("ping1"))

    assert house.outcome("k-ping")["status"] == "sold"
    assert len(house.calls("50000", "ping")) == 2
    assert house.sales("k-ping") == 1
    facts = house.story("k-ping").facts
    assert facts.token == next(sale["token"] for sale in house.buyer.book()["sales"] if sale["customid"] == "k-ping")


def test_leads_whose_worker_is_killed_in_mid_post_are_unknown_and_never_posted_again(house: House):
    """The buyer has booked a sale of each, and nobody knows: one call, one outcome, one alarm a lead."""
    names = {f"k-{call}": (call, f"3001{number}") for number, call in enumerate(SELLING)}
    send(house, *((name, {"zipcode": zipcode, **flow_of(call)}) for name, (call, zipcode) in names.items()))
    for call, zipcode in names.values():
        house.wait_for_call(zipcode, call)

    for worker in ("ping1", "post1"):  # the one has gone on from its bid, the other has the single calls
        kill(house.installation.part(worker))

    for name, (call, zipcode) in names.items():
        outcome = house.outcome(name)
        assert (outcome["status"], outcome["stage"]) == ("unknown", "post"), outcome
        assert "phone_number" not in outcome
        assert len(house.calls(zipcode, call)) == 1
        assert house.sales(name) == 1
        house.installation.wait_for_line("alarm", lead_id=name)  # it may follow the outcome
        assert len(house.installation.lines("alarm", lead_id=name)) == 1
    assert house.buyer.book()["repeats"] == []
    assert house.buyer.book()["doubles"] == []


def test_an_intake_that_is_killed_with_leads_in_its_hands_loses_and_doubles_none(house: House):
    """Each of the leads that wait at the front door is sold once and answered once."""
    names = [f"k-door-{number}" for number in range(120)]
    intake = house.installation.part("intake")
    os.kill(intake.pid, signal.SIGSTOP)
    send(house, *((name, {"zipcode": "60001", "deadline_s": 60}) for name in names))
    os.kill(intake.pid, signal.SIGCONT)
    house.wait_for_call("60001", "ping")

    kill(intake)

    assert {house.outcome(name)["status"] for name in names} == {"sold"}
    sold = [sale["customid"] for sale in house.buyer.book()["sales"] if sale["zipcode"] == "60001"]
    assert sorted(sold) == sorted(names)


def test_a_worker_that_is_told_to_end_finishes_its_calls_and_loses_no_lead_that_waits(house: House):
    """SIGTERM: the post under way is sold; leads that wait for their next try are taken up by others."""
    zipcodes = {"k-term-post": "30020", "k-term-wait": "20020", "k-term-ping": "50020"}
    send(house, *((name, {"zipcode": zipcode}) for name, zipcode in zipcodes.items()))
    house.wait_for_call("30020", "post")
    house.wait_for_call("20020", "post")
    house.wait_for_call("50020", "ping")

    for name in ("post1", "ping1"):
        house.installation.part(name).terminate()

    for name, zipcode in zipcodes.items():
        assert house.outcome(name)["status"] == "sold", name
        assert house.sales(name) == 1
        assert len(house.calls(zipcode, "post")) == (2 if name == "k-term-wait" else 1)
    assert house.buyer.book()["repeats"] == []


@pytest.fixture
def no_beat(house: House) -> Iterator[None]:
    """Beat stands still; its process is there, so nobody starts another."""
    beat = house.installation.part("beat")
    beat.suspend()
    yield
    beat.resume()


def gates_of(house: House, stack: ExitStack) -> SharedGates:
    """The gates of an installation, as one more worker would see them."""
    store = stack.enter_context(Redis.from_url(_state_url(house), decode_responses=True))
    calendar = Calendar(ZoneInfo("America/New_York"), time(0))
    register = Register(house.installation.ledger, calendar, test=False)
    return SharedGates(RedisStore(store, partner_id="XYZ", test=False), register)


def _state_url(house: House) -> str:
    return (house.installation.data / "state-url").read_text().strip()


def test_a_cap_opens_by_time_though_beat_is_dead(house: House, no_beat: None):
    """A closed gate carries its end: beat only tidies up behind it."""
    with ExitStack() as stack:
        gates = gates_of(house, stack)
        until = datetime.now(UTC) + timedelta(seconds=10)  # workers that the tests before killed may yet be starting
        gates.close("category:16004", code=4000, reason="Daily Cap reached", until=until)
        send(house, ("k-capped", {"numcategory": 16004}))
        assert house.outcome("k-capped")["status"] == "capped"

        wait_for(lambda: not next(g for g in gates.all() if g.scope == "category:16004").closed, 20)
        send(house, ("k-opened", {"numcategory": 16004}))
        assert house.outcome("k-opened")["status"] == "sold"


@contextmanager
def _two_beats(folder: Path, buyer: Sandbox) -> Iterator[tuple[Installation, subprocess.Popen[bytes], datetime]]:
    """An installation, a second beat beside its own, and the buyer's midnight, which is soon and not too soon."""
    for within_s in (14, 60):  # a machine so slow is given more time
        with ExitStack() as stack:
            own = folder / str(within_s)
            own.mkdir()
            zone, midnight = soon(own, within_s)
            house = stack.enter_context(installed(own, buyer, zone, "--no-flower"))
            spare = {"PINGPOST_DATA": str(own / "spare")}
            places = {"PINGPOST_BROKER_URL": house.broker_url, "PINGPOST_LEDGER_URL": ledger_default(house.data)}
            log = stack.enter_context((own / "beat.log").open("wb"))
            second = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "workers", "beat"],
                env={**house.environment, **places, **spare},
                stdout=log,
                stderr=log,
            )
            stack.callback(second.wait, 20)
            stack.callback(second.kill)
            wait_for(lambda path=own / "beat.log": b"beat.ready" in path.read_bytes(), 20)
            if midnight - datetime.now(UTC) > timedelta(seconds=5):
                yield house, second, midnight
                return
    raise AssertionError("no time is left before midnight")


@pytest.mark.timeout(200)
def test_a_beat_that_is_killed_just_before_midnight_leaves_the_reset_to_the_other(tmp_path: Path):
    """Two plain beats: the buyer's new day begins once, with its day's totals, and leads are sold again."""
    with ExitStack() as stack:
        buyer = stack.enter_context(Sandbox({"caps": [{"count": 1}]}))
        house, second, midnight = stack.enter_context(_two_beats(tmp_path, buyer))
        upstream = Upstream(house.broker_url)
        stack.callback(upstream.close)
        assert [one["status"] for one in upstream.sell(lead("b-1"))] == ["sold"]
        assert [one["status"] for one in upstream.sell(lead("b-2"))] == ["capped"]

        wait_for(lambda: datetime.now(UTC) > midnight - timedelta(seconds=2), 60)
        second.kill()
        buyer.new_day()

        reset = house.wait_for_line("cap.reset", scope="category:16001", within_s=20)
        assert datetime.fromisoformat(reset["timestamp"]) >= midnight
        assert (reset["sold"], reset["payout"], reset["turned_away"]) == (1, "9.50", 0)
        assert [one["status"] for one in upstream.sell(lead("b-3"))] == ["sold"]
        assert [one["status"] for one in upstream.sell(lead("b-4"))] == ["capped"]
        house.wait_for_line("day.closed", sold=1, within_s=30)
        assert len(house.lines("cap.reset")) == 1
        assert len(house.lines("day.closed")) == 1


def test_two_beats_at_once_do_no_harm(house: House, tmp_path: Path):
    """Every tick comes twice: a cap is reset once, a lead that stands still is sold once."""
    argv = [sys.executable, "-m", "celery", "-A", "workers", "beat"]
    places = {
        "PINGPOST_BROKER_URL": house.installation.environment.get("PINGPOST_BROKER_URL", house.installation.broker_url),
        "PINGPOST_STATE_URL": _state_url(house),
        "PINGPOST_DATA": str(tmp_path),
    }
    with ExitStack() as stack:
        log = stack.enter_context((tmp_path / "beat.log").open("wb"))
        second = subprocess.Popen(argv, env={**house.installation.environment, **places}, stdout=log, stderr=log)
        stack.callback(second.wait, 20)
        stack.callback(second.terminate)
        wait_for(lambda: b"beat.ready" in (tmp_path / "beat.log").read_bytes(), 20)
        gates = gates_of(house, stack)
        gates.close("category:16003", code=4000, reason="Cap", until=datetime.now(UTC) + timedelta(seconds=1))
        # A lead whose chain was never published: an intake died between its commit and the broker.
        arrival = Arrival(_lead_of_nobody(), Call.PING, test=False)
        house.installation.ledger.accept([arrival])

        house.installation.wait_for_line("cap.reset", scope="category:16003")
        house.installation.wait_for_line("lead.outcome", lead_id="k-nobody", status="sold")
        assert second.poll() is None

    assert len(house.installation.lines("cap.reset", scope="category:16003")) == 1
    assert len(house.installation.lines("lead.outcome", lead_id="k-nobody")) == 1
    assert house.sales("k-nobody") == 1


def _lead_of_nobody() -> Lead:
    given = {name: value for name, value in lead("k-nobody").items() if name != "reply_to"}
    return read_lead(given, load_protocol(None), Defaults(Flow.PING_POST, 30, "123", test_mode=False))

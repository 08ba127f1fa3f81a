"""Producers that know the contract and a broker's client: they sell a lead, and hold its outcome in their hands."""

from __future__ import annotations

import json
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest

from ops.servers.waiting import wait_until
from tests.integration.installation import lead
from tests.producers.conftest import UNWANTED, Place, Seller, bare_environment


def new_id() -> str:
    return f"call-{uuid.uuid4().hex[:8]}"


def test_a_producer_sells_a_lead_and_knows_where_to_forward_the_caller(seller: Seller):
    """The number, the time limit and the price are in its hand, and the buyer booked that very sale."""
    lead_id = new_id()
    outcome = seller.sell(lead(lead_id))
    assert (outcome["lead_id"], outcome["status"]) == (lead_id, "sold"), outcome
    assert (outcome["phone_number"], outcome["price"]) == ("+18005550100", "12.50")
    assert outcome["forward_by"] > outcome["at"]
    (sale,) = seller.place.sales(lead_id)
    assert (sale["token"], sale["phone_number"]) == (outcome["token"], outcome["phone_number"])


def test_a_refusal_is_an_outcome_and_no_failure_of_the_producer(seller: Seller):
    """Exit code 0, the buyer's code and its words, and no number to call."""
    outcome = seller.sell(lead(new_id(), zipcode=UNWANTED))
    assert (outcome["status"], outcome["code"], outcome["reason"]) == ("rejected", 5000, "No coverage or buyers")
    assert "phone_number" not in outcome


def test_a_producer_that_sends_again_gets_the_first_sale_again(seller: Seller):
    """As after an answer that was lost: the same number, said to be a replay, and one sale in the buyer's book."""
    one = lead(new_id())
    first = seller.sell(one)
    again = seller.sell(one)
    assert again == {**first, "replayed": True}
    assert len(seller.place.sales(one["lead_id"])) == 1


def test_a_producer_elsewhere_is_told_the_broker_by_a_variable(seller: Seller, tmp_path: Path):
    """In a folder without a running `pingpost up`, PINGPOST_BROKER_URL is enough."""
    (tmp_path / "ops").symlink_to(seller.place.folder / "ops")
    url = seller.place.installation.broker_url
    assert seller.sell(lead(new_id()), cwd=tmp_path, PINGPOST_BROKER_URL=url)["status"] == "sold"


def test_a_producer_that_finds_no_broker_says_so_with_its_exit_code(seller: Seller, tmp_path: Path):
    """Nothing on its standard output can be taken for an outcome."""
    (tmp_path / "ops").symlink_to(seller.place.folder / "ops")
    done = seller.place.run(seller.command, json.dumps(lead(new_id())), cwd=tmp_path)
    assert done.returncode != 0
    assert done.stdout == ""


@pytest.mark.rabbitmq
def test_amqp_consume_hears_every_outcome_on_the_exchange(on_rabbitmq: Place, amqp_tools: None):
    """Whoever binds a queue to `outcomes` hears what became of leads that others sent."""
    seller = Seller("sh ops/producers/amqp.sh", on_rabbitmq)
    url = on_rabbitmq.installation.broker_url.rstrip("/")
    listening = subprocess.Popen(
        ["amqp-consume", "-u", url, "-e", "outcomes", "-r", "outcome.*", "-c", "1", "cat"],
        env=bare_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    told: dict[str, dict[str, Any]] = {}

    def heard() -> bool:
        # It does not tell when its queue is bound: a lead that was sold before that is not for its ears.
        outcome = seller.sell(lead(new_id()))
        told[outcome["lead_id"]] = outcome
        return listening.poll() is not None

    try:
        assert wait_until(heard, within_s=30), "amqp-consume hears nothing"
        text, _ = listening.communicate(timeout=10)
    finally:
        listening.kill()
        listening.wait()
    outcome = json.loads(text)
    assert outcome == told[outcome["lead_id"]]

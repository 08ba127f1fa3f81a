"""Dead letters: whatever broker, what cannot be handled is kept with its cause."""

from __future__ import annotations

import subprocess
import sys

import amqp
import pytest
from kombu import Queue

from tests.faults.conftest import House
from tests.integration.installation import wait_for
from tests.integration.upstream import amqp_connection
from workers.transport import connect_to

BURY = "from workers.celery import app; app.bury('ping', '{0}', 'ValueError in ask:1')"


def test_a_task_that_a_fault_of_ours_broke_lies_with_the_dead_letters(house: House):
    """On Valkey too, where a fanout exchange keeps nothing."""
    argv = [sys.executable, "-c", BURY.format("l-buried")]
    environment = {**house.installation.environment, "PINGPOST_BROKER_URL": house.installation.broker_url}
    subprocess.run(argv, env=environment, cwd=house.installation.data.parent, check=True, timeout=60)

    letters = house.installation.answer("dead", "list", "--json")

    assert ("dead", "ValueError in ask:1") in [(letter["queue"], letter["reason"]) for letter in letters]


def test_what_is_read_and_given_back_lies_where_it_lay(house: House, monkeypatch):
    """Before whatever came meanwhile: the number of a dead letter is the same after any look at them."""
    # Those upstream have plain kombu, and it remembers its own transports for the whole process.
    monkeypatch.setattr("kombu.transport._transport_cache", {})
    with connect_to(house.installation.broker_url) as connection:
        channel = connection.default_channel
        queue = Queue("read-and-given-back", durable=False)(channel)
        queue.declare()

        def send(*names: str) -> None:
            for name in names:
                connection.Producer().publish({"name": name}, routing_key=queue.name)

        def read() -> list[str]:
            found = []
            while (message := queue.get()) is not None:
                found.append(message.payload["name"])
                if message.payload["name"] == "done with":
                    message.ack()
            return found

        send("first", "done with", "second", "third")
        before = read()
        send("meanwhile")
        channel.basic_recover(requeue=True)

        assert before == ["first", "done with", "second", "third"]
        assert read() == ["first", "second", "third", "meanwhile"]
        queue.delete()


@pytest.mark.rabbitmq
def test_what_a_worker_rejects_lies_with_the_dead_letters(houses):
    """RabbitMQ drops a dead letter for which there is no exchange: it is declared before the first task is taken."""
    house = houses["rabbitmq"]
    before = len(house.installation.answer("dead", "list", "--json"))
    with amqp_connection(house.installation.broker_url) as connection:
        headers = {"id": "1", "task": "no_such_task", "lang": "py"}
        message = amqp.Message(
            b"[[], {}, {}]",
            content_type="application/json",
            content_encoding="utf-8",
            application_headers=headers,
            correlation_id="1",
        )
        connection.channel().basic_publish(message, routing_key="ping")

        wait_for(lambda: len(house.installation.answer("dead", "list", "--json")) > before, 20)


@pytest.mark.rabbitmq
def test_upstream_finds_the_exchange_of_outcomes_and_the_queue_of_calls_before_the_first_lead(houses):
    """Both are declared when a worker starts."""
    with amqp_connection(houses["rabbitmq"].installation.broker_url) as connection:
        channel = connection.channel()
        channel.exchange_declare("outcomes", "topic", passive=True)
        for queue in ("calls", "leads", "leads.dead", "dead"):
            channel.queue_declare(queue, passive=True)

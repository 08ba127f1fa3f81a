"""What a client's library wraps around a lead: kombu's envelope on Valkey, and AMQP's own message id."""

from __future__ import annotations

import json
import uuid
from typing import Any

import amqp
import kombu
import pytest

from tests.integration.installation import lead, wait_for
from tests.integration.upstream import amqp_connection
from tests.producers.conftest import Place


def test_kombu_s_envelope_is_answered_in_kind(on_valkey: Place):
    """A kombu producer on Valkey gets a message of kombu's, with its correlation id, in the queue that it named."""
    one = lead(f"kombu-{uuid.uuid4().hex[:8]}")
    with kombu.Connection(on_valkey.installation.broker_url) as connection:
        answers = kombu.Queue(f"answers.{uuid.uuid4().hex[:8]}", durable=True)(connection.default_channel)
        answers.declare()
        kombu.Producer(connection).publish(
            one,
            routing_key="leads",
            declare=[kombu.Queue("leads", durable=True)],
            serializer="json",
            reply_to=answers.name,
            correlation_id="mine-1",
        )
        message = wait_for(lambda: answers.get(no_ack=True), 20)
        outcome = message.payload
        answers.delete()
    assert (outcome["lead_id"], outcome["status"]) == (one["lead_id"], "sold")
    assert (message.content_type, message.properties["correlation_id"]) == ("application/json", "mine-1")


@pytest.mark.rabbitmq
def test_an_amqp_message_id_stands_in_for_the_lead_id(on_rabbitmq: Place):
    """A lead without an id of its own has the message's, in the outcome as in the buyer's book."""
    lead_id = f"message-{uuid.uuid4().hex[:8]}"
    fields = {name: value for name, value in lead(lead_id).items() if name != "lead_id"}
    with amqp_connection(on_rabbitmq.installation.broker_url) as connection:
        channel = connection.channel()
        replies = channel.queue_declare("", exclusive=True).queue
        channel.basic_publish(
            amqp.Message(
                json.dumps(fields).encode(),
                content_type="application/json",
                delivery_mode=2,
                message_id=lead_id,
                reply_to=replies,
                correlation_id="mine-2",
            ),
            routing_key="leads",
        )
        message: Any = wait_for(lambda: channel.basic_get(replies, no_ack=True), 20)
    outcome = json.loads(message.body)
    assert (outcome["lead_id"], outcome["customid"], outcome["status"]) == (lead_id, lead_id, "sold")
    assert message.properties["correlation_id"] == "mine-2"
    assert len(on_rabbitmq.sales(lead_id)) == 1

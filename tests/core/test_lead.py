from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tasks.core.lead import Flow, Lead
from tasks.core.money import Money

FIELDS = {"numcategory": "16001", "subid": "123", "transfer_type": "1", "zipcode": "33139", "firstname": "Marigold"}
LEAD = Lead("lead-1", Flow.PING_POST, FIELDS, 20.0)


def test_a_lead_gives_its_category_and_sub_source() -> None:
    assert (LEAD.numcategory, LEAD.subid) == (16001, "123")


@pytest.mark.parametrize(("customid", "given"), [(None, "lead-1"), ("", "lead-1"), ("crm-7", "crm-7")])
def test_the_buyer_gets_the_lead_s_own_customid_else_its_id(customid: str | None, given: str) -> None:
    fields = FIELDS if customid is None else {**FIELDS, "customid": customid}
    assert replace(LEAD, fields=fields).customid == given


def test_a_caller_s_identity_is_kept_out_of_the_repr() -> None:
    assert "Marigold" not in repr(LEAD)


@pytest.mark.parametrize(
    "other",
    [
        replace(LEAD, fields=dict(reversed(FIELDS.items()))),
        replace(LEAD, created_at=datetime(2026, 11, 23, tzinfo=UTC)),
        replace(LEAD, deadline_s=5.0),
    ],
    ids=["fields in another order", "stamped anew", "another deadline"],
)
def test_a_lead_sent_again_has_the_same_fingerprint(other: Lead) -> None:
    assert other.fingerprint() == LEAD.fingerprint()


@pytest.mark.parametrize(
    "other",
    [
        replace(LEAD, flow=Flow.ONE_STEP),
        replace(LEAD, price=Money(0)),
        replace(LEAD, fields={**FIELDS, "firstname": "Marigole"}),
        replace(LEAD, fields={**FIELDS, "state": "FL"}),
    ],
    ids=["flow", "price of nothing", "a letter", "a field more"],
)
def test_other_content_has_another_fingerprint(other: Lead) -> None:
    assert other.fingerprint() != LEAD.fingerprint()
